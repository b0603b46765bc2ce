package env

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// Rendered is a prompt as the model is sent it.
type Rendered struct {
	Prompt string `json:"prompt"` // the text that the model's template makes of it
	Tokens int    `json:"tokens"` // its length, what the tokenizer puts in front included
}

// ErrCannotRender is a server that has no way to say what a model is sent, because it was built before there was one.
var ErrCannotRender = errors.New("it cannot count tokens: build it anew with make build and start it again")

// Render asks the server what a model is sent for each of the prompts, in their order.
func (c *Client) Render(ctx context.Context, model string, ps []prompts.Prompt) ([]Rendered, error) {
	type input struct {
		Messages []prompts.Message `json:"messages"`
	}
	inputs := make([]input, len(ps))
	for i, p := range ps {
		inputs[i].Messages = p.Chat()
	}
	var out struct {
		Results []Rendered `json:"results"`
	}
	err := c.post(ctx, "/api/proxy/tokens", map[string]any{"model": model, "inputs": inputs}, &out)
	if err == nil {
		err = checkRendered(out.Results, len(ps))
	}
	var answer *APIError
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound && strings.Contains(answer.Message, "page not found") {
		err = ErrCannotRender
	}
	if err != nil {
		return nil, fmt.Errorf("tokens of %d prompts for %s: the server at %s: %w", len(ps), model, c.Host(), err)
	}
	return out.Results, nil
}

func checkRendered(results []Rendered, want int) error {
	if len(results) != want {
		return fmt.Errorf("%d prompts came back, want %d", len(results), want)
	}
	for i, r := range results {
		if r.Tokens < 1 {
			return fmt.Errorf("prompt %d of %d has %d tokens, want 1 or more", i+1, want, r.Tokens)
		}
	}
	return nil
}
