package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// score asks for the rewards of out's replies, and leaves out the prompts to a reply of which one failed.
func (s Setting) score(ctx context.Context, llm env.LLM, out *Scores) error {
	samples := Samples(out.Replies)
	if err := s.addStates(ctx, llm, out, samples); err != nil {
		return err
	}
	first, err := rewardsOf(ctx, s.Reward, samples)
	if err != nil {
		return err
	}
	out.Rewards, out.Terms = first.scores, first.terms
	failures := first.failures
	if s.Reward2 != nil {
		second, err := rewardsOf(ctx, s.Reward2, samples)
		if err != nil {
			return fmt.Errorf("second reward: %w", err)
		}
		out.Rewards2 = second.scores
		failures = append(failures, second.failures...)
	}
	if len(failures) == 0 {
		return nil
	}
	failed := make(map[int]bool)
	for _, f := range failures {
		failed[f.Sample/out.draws()] = true
	}
	if n := len(failed); float64(n) > s.MaxDropped*float64(len(s.Prompts)) || n == len(s.Prompts) {
		f := failures[0]
		return fmt.Errorf("the reward failed on replies to %d of %d prompts, and reward_max_dropped is %v; the first is to prompt %s: %w",
			n, len(s.Prompts), s.MaxDropped, s.Prompts[f.Sample/out.draws()].ID, f.Err)
	}
	var kept []int
	for i := range s.Prompts {
		if !failed[i] {
			kept = append(kept, i)
		}
	}
	*out = *out.only(kept)
	return nil
}

// rewarded is what a reward says of replies. The scores of those that it failed on mean nothing.
type rewarded struct {
	scores   []float64
	terms    []reward.Term
	failures []reward.Failure
}

// rewardsOf asks for no more rewards at once than a reward server takes in its stride: best-of-32 has thousands.
func rewardsOf(ctx context.Context, r reward.Reward, samples []reward.Sample) (*rewarded, error) {
	const atOnce = 256
	out := &rewarded{scores: make([]float64, len(samples))}
	from := 0
	for chunk := range slices.Chunk(samples, atOnce) {
		j, err := reward.Judge(ctx, r, chunk, 1)
		if err != nil {
			return nil, err
		}
		for t, term := range j.Terms {
			if len(out.terms) == t {
				out.terms = append(out.terms, reward.Term{Name: term.Name, Scores: make([]float64, len(samples))})
			}
			for k, i := range j.Judged {
				out.terms[t].Scores[from+i] = term.Scores[k]
			}
		}
		for k, i := range j.Judged {
			out.scores[from+i] = j.Scores[k]
		}
		for _, f := range j.Failures {
			out.failures = append(out.failures, reward.Failure{Sample: from + f.Sample, Err: f.Err})
		}
		from += len(chunk)
	}
	return out, nil
}

// Paired is the comparison on the prompts on which every policy has its rewards, so that all are compared on the same ones.
func (c Comparison) Paired() (Comparison, error) {
	policies := []**Scores{&c.Greedy, &c.Sampling, &c.Proxy}
	common := c.Greedy.judged()
	for _, p := range policies {
		if *p != nil {
			common = slices.DeleteFunc(common, func(i int) bool { return !slices.Contains((*p).judged(), i) })
		}
	}
	if len(common) == 0 {
		return c, errors.New("evaluate: there is no prompt on which all policies have a reward")
	}
	for _, p := range policies {
		if *p != nil {
			*p = (*p).only(common)
		}
	}
	c.Dropped = c.Greedy.Asked - len(common)
	return c, nil
}

// judged returns the indices of the prompts that were not left out.
func (s *Scores) judged() []int {
	if s.Judged != nil {
		return slices.Clone(s.Judged)
	}
	all := make([]int, s.prompts())
	for i := range all {
		all[i] = i
	}
	return all
}

// only returns the scores on some of the prompts that were judged, ascending.
func (s *Scores) only(prompts []int) *Scores {
	var at []int // in Replies
	for n, prompt := range s.judged() {
		if slices.Contains(prompts, prompt) {
			for draw := range s.draws() {
				at = append(at, n*s.draws()+draw)
			}
		}
	}
	out := *s
	out.Judged = prompts
	out.Replies, out.Rewards = pick(s.Replies, at), pick(s.Rewards, at)
	if s.Rewards2 != nil {
		out.Rewards2 = pick(s.Rewards2, at)
	}
	out.Terms = make([]reward.Term, len(s.Terms))
	for i, t := range s.Terms {
		out.Terms[i] = reward.Term{Name: t.Name, Scores: pick(t.Scores, at)}
	}
	return &out
}

func pick[T any](xs []T, at []int) []T {
	out := make([]T, len(at))
	for i, k := range at {
		out[i] = xs[k]
	}
	return out
}
