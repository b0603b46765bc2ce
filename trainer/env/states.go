package env

import (
	"context"
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// StateReader is an [LLM] that gives its final hidden states at a given reply: the patched ollama, started for a trainer.
type StateReader interface {
	// States reads a reply to a prompt, with a few more tries where a failure may pass.
	States(ctx context.Context, model string, prompt []prompts.Message, reply string) (wire.StatesReply, error)
}

var _, _ StateReader = (*Client)(nil), (*Pool)(nil)

// States implements [StateReader]. A server that was not started for a trainer, or that was built before it had any to give, is an
// [APIError].
func (c *Client) States(ctx context.Context, model string, prompt []prompts.Message, reply string) (out wire.StatesReply, err error) {
	in := map[string]any{"model": model, "messages": prompt, "reply": reply}
	err = c.retry(ctx, func() error {
		out = wire.StatesReply{}
		return c.post(ctx, wire.StatesPath, in, &out)
	})
	if err == nil {
		err = checkState(out)
	}
	if err != nil {
		return out, fmt.Errorf("states of a reply from %s at %s: %w", model, c.Host(), err)
	}
	return out, nil
}

func checkState(s wire.StatesReply) error {
	if len(s.Mean) == 0 || len(s.Mean) != s.EmbeddingLength {
		return fmt.Errorf("%d values, want %d", len(s.Mean), s.EmbeddingLength)
	}
	for _, x := range s.Mean {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("a value is %v", x)
		}
	}
	return nil
}

// States implements [StateReader]: the server with the most free slots reads the reply.
func (p *Pool) States(ctx context.Context, model string, prompt []prompts.Message, reply string) (wire.StatesReply, error) {
	for {
		w, err := p.take()
		if err != nil {
			return wire.StatesReply{}, err
		}
		out, err := w.client.States(ctx, model, prompt, reply)
		p.give(w)
		if err == nil || ctx.Err() != nil || !servers(err) {
			return out, err
		}
		p.leaveOut(w, err)
	}
}
