package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Interval is a mean with its 95 % confidence interval, in the unit of the
// numbers it was made from.
type Interval struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`  // 2.5th percentile
	High float64 `json:"high"` // 97.5th percentile
}

// Includes says whether x lies in the interval, ends included. An interval of
// differences that includes 0 shows no difference.
func (iv Interval) Includes(x float64) bool { return iv.Low <= x && x <= iv.High }

// String writes the interval as reports do: "0.82 [0.54, 1.10]".
func (iv Interval) String() string { return fmt.Sprintf("%.2f [%.2f, %.2f]", iv.Mean, iv.Low, iv.High) }

// Bootstrap returns the mean of xs and its percentile interval (Efron and
// Tibshirani 1993, section 13.3) from the means of n resamples, each as long as
// xs and drawn from it with replacement.
//
// For a paired comparison xs are the differences of the two scores of each
// prompt, which is what makes it paired: prompts that are hard for both drop
// out. The same xs, n and seed give the same interval on every machine. It is an
// error if xs is empty or not finite, or if n is below 1.
func Bootstrap(xs []float64, n int, seed uint64) (Interval, error) {
	if len(xs) == 0 {
		return Interval{}, fmt.Errorf("stats: bootstrap: no numbers, want at least one")
	}
	if n < 1 {
		return Interval{}, fmt.Errorf("stats: bootstrap: %d resamples, want at least 1 (10000 are usual)", n)
	}
	for i, x := range xs {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return Interval{}, fmt.Errorf("stats: bootstrap: number %d of %d is %v, want finite ones", i+1, len(xs), x)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	means := make([]float64, n)
	for i := range means {
		sum := 0.0
		for range xs {
			sum += xs[rng.IntN(len(xs))]
		}
		means[i] = sum / float64(len(xs))
	}
	slices.Sort(means)
	return Interval{Mean: Mean(xs), Low: quantile(means, 0.025), High: quantile(means, 0.975)}, nil
}

// PairedBootstrap is [Bootstrap] of a[i] − b[i].
func PairedBootstrap(a, b []float64, n int, seed uint64) (Interval, error) {
	if len(a) != len(b) {
		return Interval{}, fmt.Errorf("stats: paired bootstrap: %d scores against %d, want pairs", len(a), len(b))
	}
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return Bootstrap(d, n, seed)
}
