package reward

import (
	"context"
	"fmt"
)

// term is one summand: weight × reward.
type term struct {
	name   string // for errors: "terms[1]"
	weight float64
	reward Reward
}

// sum is Σ weight·reward.
type sum []term

// prefixSum is a sum of which every summand is a Prefixer.
type prefixSum struct{ sum }

var _ Prefixer = prefixSum{}

// newSum returns a Prefixer if all terms are.
func newSum(terms []term) Reward {
	for _, t := range terms {
		if _, ok := t.reward.(Prefixer); !ok {
			return sum(terms)
		}
	}
	return prefixSum{sum(terms)}
}

func (s sum) Score(ctx context.Context, samples []Sample) ([]float64, error) {
	return s.add(len(samples), func(r Reward) ([]float64, error) { return r.Score(ctx, samples) })
}

func (s prefixSum) Prefixes(prompt string, pieces []string) ([]float64, error) {
	return s.add(len(pieces), func(r Reward) ([]float64, error) { return r.(Prefixer).Prefixes(prompt, pieces) })
}

// add returns the weighted sum of what score gives for each term, n numbers.
func (s sum) add(n int, score func(Reward) ([]float64, error)) ([]float64, error) {
	out := make([]float64, n)
	for _, t := range s {
		scores, err := score(t.reward)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		for i, x := range scores {
			out[i] += t.weight * x
		}
	}
	if err := finite(out); err != nil {
		return nil, fmt.Errorf("reward sum: %w; lower the weights", err)
	}
	return out, nil
}
