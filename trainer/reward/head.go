package reward

import (
	"context"
	"errors"
	"fmt"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
)

// headReward judges a reply by its mean state, as people judged replies whose
// states a head was trained on. Its unit is the deviation of their scores.
type headReward struct{ *head.Head }

var _ Prefixer = headReward{}

func newHead(path string) (Reward, error) {
	h, err := head.Open(path)
	if err != nil {
		return nil, fmt.Errorf("head: %w; proxy-trainer reward makes one", err)
	}
	return headReward{h}, nil
}

func (s Spec) validateHead() error {
	if s.Head == "" {
		return errors.New("head: empty; name the file of a head that proxy-trainer reward made")
	}
	return nil
}

// Score gives an empty reply what its head gives the state that it ends in.
func (r headReward) Score(_ context.Context, samples []Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		if err := r.check(s.State); err != nil {
			return nil, fmt.Errorf("reward: sample %d of %d: %w", i+1, len(samples), err)
		}
		out[i] = r.Head.Score(s.State)
	}
	if err := finite(out); err != nil {
		return nil, fmt.Errorf("reward: head: %w", err)
	}
	return out, nil
}

func (r headReward) check(state []float32) error {
	switch n := len(state); n {
	case r.Length():
		return nil
	case 0:
		return errors.New("head: the reply has no state: the server gives it with proxy_trace=features, or when it is asked for it")
	default:
		return fmt.Errorf("head: the reply's state has %d values, the head scores %d", n, r.Length())
	}
}

// Prefixes gives a prefix the score of the mean of those of its states that the
// trace shows, and 0, an average reply's, before the first of them. A token whose
// state is not shown changes nothing, and the last one makes up for all that was
// not: it has the score of the whole. So Dense pays differences of a potential (Ng,
// Harada and Russell, ICML 1999), which change no reply's return.
func (r headReward) Prefixes(t Trace) ([]float64, error) {
	if len(t.States) != len(t.Pieces) {
		return nil, fmt.Errorf("reward: head: %d states for %d tokens", len(t.States), len(t.Pieces))
	}
	out := make([]float64, len(t.Pieces))
	sum := make([]float64, r.Length())
	mean := make([]float32, r.Length())
	shown := 0
	for i, state := range t.States {
		switch {
		case state != nil:
			if err := r.check(state); err != nil {
				return nil, fmt.Errorf("reward: token %d of %d: %w", i+1, len(t.States), err)
			}
			shown++
			for k, x := range state {
				sum[k] += float64(x)
				mean[k] = float32(sum[k] / float64(shown))
			}
			out[i] = r.Head.Score(mean)
		case i > 0:
			out[i] = out[i-1]
		}
	}
	if len(out) > 0 {
		if err := r.check(t.State); err != nil {
			return nil, fmt.Errorf("reward: %w", err)
		}
		out[len(out)-1] = r.Head.Score(t.State)
	}
	if err := finite(out); err != nil {
		return nil, fmt.Errorf("reward: head: %w", err)
	}
	return out, nil
}

// heads lists the heads in a reward.
func heads(r Reward) []headReward {
	switch r := r.(type) {
	case headReward:
		return []headReward{r}
	case prefixSum:
		return heads(r.sum)
	case sum:
		var all []headReward
		for _, t := range r {
			all = append(all, heads(t.reward)...)
		}
		return all
	}
	return nil
}

// StateLength is how many values the states have that r judges replies by; 0 is
// none. If there are any, each Sample must have its State.
func StateLength(r Reward) int {
	for _, h := range heads(r) {
		return h.Length()
	}
	return 0
}

// CheckBase is the error of a reward that judges by the states of another model
// than base, and warnings of one whose model is not quite the same.
func CheckBase(r Reward, base proxy.Base) (warnings []string, err error) {
	for _, h := range heads(r) {
		warning, err := h.CheckBase(base)
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return warnings, nil
}
