package reward

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// term is one summand: weight × reward.
type term struct {
	place  string // in the configuration, for errors: "terms[1]"; "" if it is alone
	name   string // for metrics: "vader"
	weight float64
	reward Reward
}

// sum is Σ weight·reward. What New builds is one, of a single term where the
// specification is no sum, so that every reward has terms to report on.
type sum []term

var _ io.Closer = sum(nil)

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
	j, err := s.judge(ctx, samples)
	if err != nil {
		return nil, err
	}
	if len(j.Failures) > 0 {
		return nil, &PartialError{Failures: j.Failures, Scores: j.Scores}
	}
	return j.Scores, nil
}

// judge asks term by term, each only about the samples that no term before it
// failed on.
func (s sum) judge(ctx context.Context, samples []Sample) (*Judgement, error) {
	all := newJudgement(len(samples), nil)
	for _, t := range s {
		one, err := judge(ctx, t.reward, pick(samples, all.Judged))
		if err != nil {
			return nil, t.wrap(err)
		}
		all.add(t, one)
	}
	if err := finite(all.Scores); err != nil {
		return nil, fmt.Errorf("reward sum: %w; lower the weights", err)
	}
	return all, nil
}

func (t term) wrap(err error) error {
	if t.place == "" {
		return err
	}
	return fmt.Errorf("%s: %w", t.place, err)
}

func (s prefixSum) Prefixes(trace Trace) ([]float64, error) {
	out := make([]float64, len(trace.Pieces))
	for _, t := range s.sum {
		scores, err := t.reward.(Prefixer).Prefixes(trace)
		if err != nil {
			return nil, t.wrap(err)
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

// Close closes the terms that hold something open.
func (s sum) Close() error {
	var errs []error
	for _, t := range s {
		if c, ok := t.reward.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
