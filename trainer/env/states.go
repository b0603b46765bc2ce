package env

import (
	"context"
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// States asks for the model's final hidden states at a given reply. A server that was not started for a trainer, or that was built
// before it had any to give, is an [APIError].
func (c *Client) States(ctx context.Context, model string, prompt []prompts.Message, reply string) (wire.StatesReply, error) {
	in := map[string]any{"model": model, "messages": prompt, "reply": reply}
	var out wire.StatesReply
	if err := c.post(ctx, wire.StatesPath, in, &out); err != nil {
		return out, fmt.Errorf("states of a reply from %s at %s: %w", model, c.Host(), err)
	}
	if len(out.Mean) == 0 || len(out.Mean) != out.EmbeddingLength {
		return out, fmt.Errorf("states of a reply from %s at %s: %d values, want %d", model, c.Host(), len(out.Mean), out.EmbeddingLength)
	}
	for _, x := range out.Mean {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return out, fmt.Errorf("states of a reply from %s at %s: a value is %v", model, c.Host(), x)
		}
	}
	return out, nil
}
