package reward

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// PartialError is what Score returns where it judged some samples and failed on
// others: a judge gave no valid answer, a scorer said that it cannot tell. A
// caller that knows nothing of it stops, as at any error; Judge does better.
type PartialError struct {
	// Failures are the samples without a score, at least one, in their order.
	Failures []Failure
	// Scores are those of all other samples, in their order. A failed sample has
	// no number here, not even one that stands for none, which might be learnt
	// from.
	Scores []float64
}

// Failure is a sample that could not be judged.
type Failure struct {
	Sample int // its index
	Err    error
}

func (e *PartialError) Error() string {
	first := e.Failures[0]
	return fmt.Sprintf("%d of %d replies could not be judged, the first of them number %d: %v",
		len(e.Failures), len(e.Failures)+len(e.Scores), first.Sample+1, first.Err)
}

func (e *PartialError) Unwrap() []error {
	errs := make([]error, len(e.Failures))
	for i, f := range e.Failures {
		errs[i] = f.Err
	}
	return errs
}

// partial makes the two results of a Score of a score or a failure per sample.
func partial(scores []float64, failures []error) ([]float64, error) {
	e := &PartialError{}
	for i, err := range failures {
		if err != nil {
			e.Failures = append(e.Failures, Failure{i, err})
		} else {
			e.Scores = append(e.Scores, scores[i])
		}
	}
	if len(e.Failures) > 0 {
		return nil, e
	}
	return scores, nil
}

// Judgement is what a reward says of samples. Each has a score or a failure.
type Judgement struct {
	// Judged are the indices of the samples with a score, in their order. Scores
	// has one number for each of them.
	Judged []int
	Scores []float64
	// Terms are what the score was added up from. A sum within a sum is one of
	// them, and its own terms follow.
	Terms []Term
	// Failures are the samples without a score, in their order.
	Failures []Failure
}

// Term is a summand.
type Term struct {
	// Name is the Spec's, or else its type, after those of the sums around it:
	// "style/vader".
	Name string
	// Scores are its own, before the weight: one for each of Judged.
	Scores []float64
}

// Judge scores samples and leaves out those that the reward fails on. The error
// says what failed all of them, or that more than the share maxFailed (0 to 1)
// of them failed.
func Judge(ctx context.Context, r Reward, samples []Sample, maxFailed float64) (*Judgement, error) {
	j, err := judge(ctx, r, samples)
	if err != nil {
		return nil, err
	}
	if failed := len(j.Failures); float64(failed) > maxFailed*float64(len(samples)) {
		first := j.Failures[0]
		return nil, fmt.Errorf("reward: %d of %d replies could not be judged, more than reward_max_dropped %v allows; the first is to %.80q: %w",
			failed, len(samples), maxFailed, samples[first.Sample].Prompt, first.Err)
	}
	return j, nil
}

// judge is Judge without a limit.
func judge(ctx context.Context, r Reward, samples []Sample) (*Judgement, error) {
	switch s := r.(type) {
	case sum:
		return s.judge(ctx, samples)
	case prefixSum:
		return s.judge(ctx, samples)
	}
	scores, err := r.Score(ctx, samples)
	var failures []Failure
	if some, ok := errors.AsType[*PartialError](err); ok {
		failures, scores, err = some.Failures, some.Scores, nil
	}
	if err != nil {
		return nil, err
	}
	j := newJudgement(len(samples), failures)
	if len(scores) != len(j.Judged) {
		return nil, fmt.Errorf("reward: %T gave %d scores for %d samples; it breaks the contract of Reward", r, len(scores), len(j.Judged))
	}
	j.Scores = scores
	return j, nil
}

// newJudgement is that of n samples by a sum of no terms.
func newJudgement(n int, failures []Failure) *Judgement {
	failed := make(map[int]bool, len(failures))
	for _, f := range failures {
		failed[f.Sample] = true
	}
	j := &Judgement{Failures: failures}
	for i := range n {
		if !failed[i] {
			j.Judged = append(j.Judged, i)
		}
	}
	j.Scores = make([]float64, len(j.Judged))
	return j
}

// add adds a term's judgement of the samples in j.Judged.
func (j *Judgement) add(t term, one *Judgement) {
	for _, f := range one.Failures {
		j.Failures = append(j.Failures, Failure{j.Judged[f.Sample], t.wrap(f.Err)})
	}
	slices.SortFunc(j.Failures, func(a, b Failure) int { return a.Sample - b.Sample })
	j.Judged, j.Scores = pick(j.Judged, one.Judged), pick(j.Scores, one.Judged)
	for i := range j.Terms {
		j.Terms[i].Scores = pick(j.Terms[i].Scores, one.Judged)
	}
	for i, x := range one.Scores {
		j.Scores[i] += t.weight * x
	}
	j.Terms = append(j.Terms, Term{t.name, one.Scores})
	for _, inner := range one.Terms {
		j.Terms = append(j.Terms, Term{t.name + "/" + inner.Name, inner.Scores})
	}
}

// pick returns the elements of xs at the indices at.
func pick[T any](xs []T, at []int) []T {
	out := make([]T, len(at))
	for i, k := range at {
		out[i] = xs[k]
	}
	return out
}
