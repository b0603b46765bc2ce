// Package eval compares ways of answering the same prompts: the base model's greedy replies and those that a proxy decided,
// by reward, by their perplexity under the base model, and by what they cost.
//
// It is not for choosing what is trained on, and it draws no conclusions beyond its intervals: prompts must be held out by the
// caller. Its values are plain data.
package eval

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// Policy is one way of answering.
type Policy struct {
	Name    string // as reports call it
	Model   string // as the server calls it
	Options map[string]any
}

// Greedy is the base model's most probable token at every position.
func Greedy(model string) Policy {
	return Policy{Name: "base greedy", Model: model, Options: map[string]any{"temperature": 0, "proxy": wire.ProxyNone}}
}

// Setting is what is the same for all policies.
type Setting struct {
	Prompts  []prompts.Prompt
	Tokens   int // num_predict
	Parallel int
	Reward   reward.Reward
	// MaxDropped is the share of prompts, 0 to 1, to whose replies the reward may fail to give a number. More are an error.
	MaxDropped float64
	// Progress may be nil; it is called after each reply.
	Progress func()
}

// Scores is what one policy did with a setting's prompts, in their order. A prompt is left out if the reward failed on the
// reply to it: see [Pair].
type Scores struct {
	Policy Policy
	// Judged are the indices, in the setting's Prompts, of those that are not left out. Replies and Rewards are theirs.
	Judged  []int
	Replies []env.Reply
	Rewards []float64
	// Wall is the time that all replies took together, those left out included.
	Wall time.Duration
}

// Run answers every prompt once and scores the replies.
func (s Setting) Run(ctx context.Context, llm env.LLM, p Policy) (*Scores, error) {
	requests := make([]env.Request, len(s.Prompts))
	for i, prompt := range s.Prompts {
		options := map[string]any{"num_predict": s.Tokens}
		for k, v := range p.Options {
			options[k] = v
		}
		requests[i] = env.Request{Model: p.Model, Prompt: prompt, Options: options, LogProbs: true}
	}
	start := time.Now()
	replies, err := env.Rollout(ctx, llm, requests, s.Parallel, func(*env.Reply) {
		if s.Progress != nil {
			s.Progress()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", p.Name, err)
	}
	wall := time.Since(start)
	for i := range replies {
		if replies[i].DoneReason == env.DoneCut {
			return nil, fmt.Errorf("evaluate %s: prompt %s: %w", p.Name, replies[i].Prompt.ID, env.ErrCutOff)
		}
	}
	samples := Samples(replies)
	if err := s.addStates(ctx, llm, p, replies, samples); err != nil {
		return nil, err
	}
	j, err := reward.Judge(ctx, s.Reward, samples, s.MaxDropped)
	if err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", p.Name, err)
	}
	if len(j.Judged) == 0 && len(j.Failures) > 0 {
		return nil, fmt.Errorf("evaluate %s: no reply could be judged; that to prompt %s: %w", p.Name, s.Prompts[0].ID, j.Failures[0].Err)
	}
	scores := &Scores{Policy: p, Judged: j.Judged, Rewards: j.Scores, Wall: wall}
	for _, i := range j.Judged {
		scores.Replies = append(scores.Replies, replies[i])
	}
	return scores, nil
}

// Samples are replies as a reward takes them, with their states where they came with them.
func Samples(replies []env.Reply) []reward.Sample {
	samples := make([]reward.Sample, len(replies))
	for i := range replies {
		samples[i] = reward.Sample{Prompt: replies[i].Prompt.Text, Reply: replies[i].Text, Label: replies[i].Prompt.Label}
		if p := replies[i].Proxy; p != nil && p.States != nil {
			samples[i].State = p.States.Mean
		}
	}
	return samples
}

// Summary is one row of a report.
type Summary struct {
	Policy string         `json:"policy"`
	Reward stats.Interval `json:"reward"`
	// Gain is the paired difference to the baseline, prompt by prompt; zero for the baseline itself.
	Gain stats.Interval `json:"gain"`
	// WinRate is the share of prompts on which the reward is above the baseline's, a tie counting half.
	WinRate    float64 `json:"win_rate"`
	Tokens     float64 `json:"tokens"`     // mean length of a reply
	Perplexity float64 `json:"perplexity"` // of all replies' tokens under the base model
	Rejections float64 `json:"rejections_per_token"`
	Forwards   float64 `json:"forwards_per_token"`
	// TokensPerSecond is of all replies together, prompts included.
	TokensPerSecond float64 `json:"tokens_per_second"`
	Distinct2       float64 `json:"distinct_2"` // within a reply
}

// Summarise describes scores beside those of a baseline, which may be the same. resamples and seed are the bootstrap's.
func Summarise(s, baseline *Scores, resamples int, seed uint64) (Summary, error) {
	var out Summary
	var err error
	out.Policy = s.Policy.Name
	if out.Reward, err = stats.Bootstrap(s.Rewards, resamples, seed); err != nil {
		return out, err
	}
	if out.Gain, err = stats.PairedBootstrap(s.Rewards, baseline.Rewards, resamples, seed); err != nil {
		return out, err
	}
	if out.WinRate, err = stats.WinRate(s.Rewards, baseline.Rewards); err != nil {
		return out, err
	}
	var tokens, rejected, forwards float64
	texts := make([]string, len(s.Replies))
	for i := range s.Replies {
		r := &s.Replies[i]
		texts[i] = r.Text
		tokens += float64(r.Tokens)
		if r.Proxy == nil {
			forwards += float64(r.Tokens)
			continue
		}
		rejected += float64(r.Proxy.Rejected)
		forwards += float64(r.Proxy.Forwards)
	}
	out.Tokens = tokens / float64(len(s.Replies))
	out.Perplexity = env.Perplexity(s.Replies)
	out.Rejections = rejected / tokens
	out.Forwards = forwards / tokens
	out.TokensPerSecond = tokens / s.Wall.Seconds()
	out.Distinct2 = stats.DistinctWithin(2, texts)
	if math.IsNaN(out.Perplexity) {
		return out, fmt.Errorf("evaluate %s: no reply has a token to compute a perplexity of", s.Policy.Name)
	}
	return out, nil
}
