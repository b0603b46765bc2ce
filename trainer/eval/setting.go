package eval

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// Setting is what is the same for all policies.
type Setting struct {
	Prompts  []prompts.Prompt
	Tokens   int // num_predict
	Parallel int
	Reward   reward.Reward
	// Reward2 scores the same replies once more; nil: nothing does.
	Reward2 reward.Reward
	// MaxDropped is the share of prompts, 0 to 1, to a reply of which a reward may fail to give a number. More are an error.
	MaxDropped float64
	// Seed is what the seeds of draws are made from.
	Seed uint64
	// Progress may be nil; it is called after each reply, one call at a time.
	Progress func()
}

// Scores is what one policy did with a setting's prompts, in their order. The draws of a prompt follow each other. A prompt is
// left out if a reward failed on a reply to it: see [Comparison.Paired].
type Scores struct {
	Policy   Policy
	Replies  []env.Reply
	Rewards  []float64
	Rewards2 []float64 // nil without a second reward
	// Terms are what Rewards were added up from.
	Terms []reward.Term
	// Asked is how many prompts the setting had, and Judged the indices of those that were not left out; nil is all.
	Asked  int
	Judged []int
	// Wall is the time that all replies took together, those left out included.
	Wall time.Duration
}

func (s *Scores) draws() int { return max(s.Policy.Draws, 1) }

func (s *Scores) prompts() int { return len(s.Replies) / s.draws() }

// Run answers every prompt and scores the replies.
func (s Setting) Run(ctx context.Context, llm env.LLM, p Policy) (*Scores, error) {
	start := time.Now()
	replies, err := env.Rollout(ctx, llm, s.requests(p), s.Parallel, func(*env.Reply) {
		if s.Progress != nil {
			s.Progress()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", p.Name, err)
	}
	out := &Scores{Policy: p, Replies: replies, Asked: len(s.Prompts), Wall: time.Since(start)}
	if err := s.score(ctx, llm, out); err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", p.Name, err)
	}
	return out, nil
}

func (s Setting) requests(p Policy) []env.Request {
	var requests []env.Request
	for i, prompt := range s.Prompts {
		for draw := range max(p.Draws, 1) {
			options := map[string]any{"num_predict": s.Tokens}
			if p.Draws > 0 {
				options["seed"] = drawSeed(s.Seed, i, draw)
			}
			maps.Copy(options, p.Options)
			requests = append(requests, env.Request{Model: p.Model, Prompt: prompt, Options: options, LogProbs: true})
		}
	}
	return requests
}

// drawSeed is a draw's, within what JSON numbers and Ollama's option carry exactly.
func drawSeed(seed uint64, prompt, draw int) int {
	return int(rand.New(rand.NewPCG(seed, uint64(prompt)<<32|uint64(draw))).Int32())
}

// Samples are replies as a reward takes them, with their states where they came with them.
func Samples(replies []env.Reply) []reward.Sample {
	samples := make([]reward.Sample, len(replies))
	for i := range replies {
		samples[i] = reward.Sample{Prompt: replies[i].Prompt.Text, Reply: replies[i].Text, Label: replies[i].Prompt.Label}
		if states := replies[i].States; states != nil {
			samples[i].State = states.Mean
		}
	}
	return samples
}
