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
	for i, x := range xs {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return Interval{}, fmt.Errorf("stats: bootstrap: number %d of %d is %v, want finite ones", i+1, len(xs), x)
		}
	}
	low, high, err := BootstrapOf(len(xs), n, seed, func(picks []int) float64 {
		sum := 0.0
		for _, i := range picks {
			sum += xs[i]
		}
		return sum / float64(len(picks))
	})
	if err != nil {
		return Interval{}, err
	}
	return Interval{Mean: Mean(xs), Low: low, High: high}, nil
}

// BootstrapOf returns the ends of the percentile interval of any statistic of
// count things, from its values on n resamples. A resample is given as the
// numbers from 0 of the things in it, some of them several times; statistic must
// not keep the slice. Values may be infinite. It is an error if count or n is
// below 1, or if a value is NaN.
func BootstrapOf(count, n int, seed uint64, statistic func(picks []int) float64) (low, high float64, err error) {
	if count < 1 {
		return 0, 0, fmt.Errorf("stats: bootstrap: no numbers, want at least one")
	}
	if n < 1 {
		return 0, 0, fmt.Errorf("stats: bootstrap: %d resamples, want at least 1 (10000 are usual)", n)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	picks, values := make([]int, count), make([]float64, n)
	for i := range values {
		for j := range picks {
			picks[j] = rng.IntN(count)
		}
		if values[i] = statistic(picks); math.IsNaN(values[i]) {
			return 0, 0, fmt.Errorf("stats: bootstrap: the statistic of resample %d is NaN", i+1)
		}
	}
	slices.Sort(values)
	return quantile(values, 0.025), quantile(values, 0.975), nil
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
