package env

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// Request is one reply asked for.
type Request struct {
	Model   string
	Prompt  prompts.Prompt
	Options map[string]any // Ollama's
	// LogProbs asks for the base model's log-probability of every token.
	LogProbs bool
	// Format is the JSON schema that the reply must follow; nil is none.
	Format json.RawMessage
	// NoThinking makes a model that thinks first, as it does by default, answer at once.
	NoThinking bool
}

// Reply is one answer of the LLM.
type Reply struct {
	Prompt     prompts.Prompt
	Text       string
	DoneReason string // stop, length or [DoneCut]
	// Tokens is the reply's length, an end-of-sequence token included. Of a reply that was cut off it is the number of LogProbs.
	Tokens int
	// PromptTokens is the prompt's length in the model's template, whether or not the server had it in its cache.
	PromptTokens int
	// Duration is the time that the tokens took, without the prompt.
	Duration time.Duration
	// Proxy is nil for a reply without one.
	Proxy *wire.Stats
	// States are nil unless features were traced.
	States    *wire.States
	Decisions []wire.Decision
	// LogProbs are natural logarithms, of every token of the text under the base model at temperature 1.
	LogProbs []float64
}

// NLL is the mean negative log-likelihood of the reply's tokens under the base model, in nats, and the number of tokens.
func (r *Reply) NLL() (mean float64, tokens int) {
	for _, p := range r.LogProbs {
		mean -= p
	}
	if n := len(r.LogProbs); n > 0 {
		mean /= float64(n)
	}
	return mean, len(r.LogProbs)
}

// Perplexity is that of all replies' tokens together under the base model.
func Perplexity(replies []Reply) float64 {
	var sum float64
	var n int
	for i := range replies {
		mean, tokens := replies[i].NLL()
		sum += mean * float64(tokens)
		n += tokens
	}
	if n == 0 {
		return math.NaN()
	}
	return math.Exp(sum / float64(n))
}

// Chat asks for one reply. A reply that the server cut off (it does when one token repeats 30 times) comes with [ErrCutOff]: its
// text and log-probabilities are what a user would have seen, but there is no final record, so its counts are unknown.
func (c *Client) Chat(ctx context.Context, r Request) (Reply, error) {
	in := map[string]any{
		"model":    r.Model,
		"messages": r.Prompt.Chat(),
		"stream":   false,
		"options":  r.Options,
	}
	if r.LogProbs {
		in["logprobs"] = true
	}
	if r.Format != nil {
		in["format"] = r.Format
	}
	if r.NoThinking {
		in["think"] = false
	}
	var out struct {
		Message      struct{ Content string }
		Done         bool
		DoneReason   string          `json:"done_reason"`
		PromptCount  int             `json:"prompt_eval_count"`
		EvalCount    int             `json:"eval_count"`
		EvalDuration time.Duration   `json:"eval_duration"`
		Proxy        *wire.Stats     `json:"proxy"`
		States       *wire.States    `json:"proxy_states"`
		Decisions    []wire.Decision `json:"decisions"`
		LogProbs     []struct {
			LogProb float64 `json:"logprob"`
		} `json:"logprobs"`
	}
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if c.Timeout > 0 {
		waiting, cancel = context.WithTimeout(ctx, c.Timeout)
	}
	defer cancel()
	if err := c.post(waiting, "/api/chat", in, &out); err != nil {
		if ctx.Err() == nil && waiting.Err() != nil {
			return Reply{}, fmt.Errorf("%w of %s: raise ollama.timeout, or lower ollama.parallel", ErrTimeout, c.Timeout)
		}
		return Reply{}, err
	}
	reply := Reply{
		Prompt:       r.Prompt,
		Text:         out.Message.Content,
		DoneReason:   out.DoneReason,
		Tokens:       out.EvalCount,
		PromptTokens: out.PromptCount,
		Duration:     out.EvalDuration,
		Proxy:        out.Proxy,
		States:       out.States,
		Decisions:    out.Decisions,
	}
	for _, l := range out.LogProbs {
		reply.LogProbs = append(reply.LogProbs, l.LogProb)
	}
	if !out.Done {
		reply.DoneReason, reply.Tokens = DoneCut, len(reply.LogProbs)
		return reply, ErrCutOff
	}
	return reply, nil
}

// ErrCutOff is a reply that the server ended without a final record.
var ErrCutOff = errors.New("the server cut the reply off: it repeated one token 30 times")

// ErrTimeout is a reply that took longer than the client's Timeout.
var ErrTimeout = errors.New("no reply within the time limit")

// Reply implements [LLM]: Chat, with a few more tries.
func (c *Client) Reply(ctx context.Context, r Request) (reply Reply, err error) {
	err = c.retry(ctx, func() error {
		reply, err = c.Chat(ctx, r)
		return err
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrCutOff) {
		err = fmt.Errorf("reply %q from %s at %s: %w", r.Prompt.ID, r.Model, c.Host(), err)
	}
	return reply, err
}
