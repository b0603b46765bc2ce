package head

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// Report says how heads did on pairs that they were not fitted on.
type Report struct {
	Pairs int `json:"pairs"`
	// Accuracy is the share of pairs whose chosen reply scored higher, a tie counting half, with a 95 % bootstrap interval over
	// the pairs.
	Accuracy stats.Interval `json:"accuracy"`
	// LongerWins is what "the longer reply wins" would get right, in tokens, a tie counting half; "the shorter one wins" gets
	// the rest. PrefersLonger is the share of pairs of unequal length in which the head prefers the longer reply.
	LongerWins    float64 `json:"longer_wins"`
	PrefersLonger float64 `json:"prefers_longer"`
	// ECE is the expected calibration error: the mean over the pairs of how far their bin's confidence is from its accuracy
	// (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).
	ECE  float64 `json:"ece"`
	Bins []Bin   `json:"bins"`
}

// Bin is the pairs of which the head was about equally sure.
type Bin struct {
	From       float64 `json:"from"` // least confidence: the probability it gave to the reply it preferred
	Pairs      int     `json:"pairs"`
	Confidence float64 `json:"confidence"` // the mean
	Accuracy   float64 `json:"accuracy"`
}

// Folding divides pairs for cross-validation.
type Folding struct {
	// Fold is each pair's, from 0; pairs with one prompt must share one.
	Fold []int
	// Folds is how many there are.
	Folds int
	// Resamples and Seed are the bootstrap's.
	Resamples int
	Seed      uint64
	// Done may be nil; it is called after each fit.
	Done func()
}

// CrossValidate fits a head on all folds but one, for each of them, and judges it by that one.
func CrossValidate(ctx context.Context, pairs []Pair, o Options, f Folding) (*Report, error) {
	if len(f.Fold) != len(pairs) || f.Folds < 2 {
		return nil, fmt.Errorf("cross-validation: %d pairs in %d places of %d folds: want a fold for each pair, and 2 folds or more", len(pairs), len(f.Fold), f.Folds)
	}
	var judged []judgement
	for fold := range f.Folds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var rest, held []Pair
		for i, p := range pairs {
			if f.Fold[i] == fold {
				held = append(held, p)
			} else {
				rest = append(rest, p)
			}
		}
		if len(held) > 0 {
			h, err := Fit(rest, o)
			if err != nil {
				return nil, fmt.Errorf("cross-validation, fold %d of %d: %w", fold+1, f.Folds, err)
			}
			for _, p := range held {
				judged = append(judged, h.judge(p))
			}
		}
		if f.Done != nil {
			f.Done()
		}
	}
	return report(judged, f.Resamples, f.Seed)
}

// judgement is what a head made of a pair.
type judgement struct {
	preference float64 // for the chosen reply
	longer     int     // 1: the chosen reply is the longer one, −1: the rejected one
}

func (h *Head) judge(p Pair) judgement {
	return judgement{
		preference: h.Preference(h.Score(p.Chosen.State), h.Score(p.Rejected.State)),
		longer:     cmp.Compare(p.Chosen.Tokens, p.Rejected.Tokens),
	}
}

// right is 1 where the chosen reply was preferred, ½ for a tie.
func (j judgement) right() float64 { return float64(cmp.Compare(j.preference, 0.5)+1) / 2 }

func report(judged []judgement, resamples int, seed uint64) (*Report, error) {
	if len(judged) == 0 {
		return nil, errors.New("no pair was judged")
	}
	r := &Report{Pairs: len(judged)}
	right := make([]float64, len(judged))
	n, unequal := float64(len(judged)), 0.0
	for i, j := range judged {
		right[i] = j.right()
		r.LongerWins += float64(j.longer+1) / 2 / n
		if j.longer != 0 {
			unequal++
			if (j.longer > 0) == (j.preference > 0.5) {
				r.PrefersLonger++
			}
		}
	}
	r.PrefersLonger /= max(unequal, 1)
	r.calibrate(judged)
	var err error
	r.Accuracy, err = stats.Bootstrap(right, resamples, seed)
	return r, err
}

// bins is into how many the confidences from ½ to 1 are divided.
const bins = 5

func (r *Report) calibrate(judged []judgement) {
	r.Bins = make([]Bin, bins)
	for i := range r.Bins {
		r.Bins[i].From = 0.5 + 0.5*float64(i)/bins
	}
	for _, j := range judged {
		confidence := max(j.preference, 1-j.preference)
		b := &r.Bins[min(int((confidence-0.5)*2*bins), bins-1)]
		b.Pairs++
		b.Confidence += confidence
		b.Accuracy += j.right()
	}
	for i := range r.Bins {
		b := &r.Bins[i]
		if b.Pairs == 0 {
			continue
		}
		b.Confidence /= float64(b.Pairs)
		b.Accuracy /= float64(b.Pairs)
		r.ECE += float64(b.Pairs) / float64(len(judged)) * math.Abs(b.Confidence-b.Accuracy)
	}
}
