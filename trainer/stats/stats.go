package stats

import (
	"fmt"
	"math"
	"slices"
)

// Mean returns the arithmetic mean, or NaN of no numbers: a mean of nothing must
// not pass for 0.
func Mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// Quantiles returns the quantile of xs at each of qs, interpolated linearly
// between neighbours (NumPy's default; type 7 of Hyndman and Fan 1996). xs need
// not be sorted. It is an error if xs is empty or has a NaN, or if a q lies
// outside [0, 1].
func Quantiles(xs []float64, qs ...float64) ([]float64, error) {
	if len(xs) == 0 {
		return nil, fmt.Errorf("stats: quantiles: no numbers, want at least one")
	}
	if i := slices.IndexFunc(xs, math.IsNaN); i >= 0 {
		return nil, fmt.Errorf("stats: quantiles: number %d of %d is NaN", i+1, len(xs))
	}
	sorted := slices.Sorted(slices.Values(xs))
	out := make([]float64, len(qs))
	for i, q := range qs {
		if !(q >= 0 && q <= 1) {
			return nil, fmt.Errorf("stats: quantiles: quantile %v, want 0 to 1", q)
		}
		out[i] = quantile(sorted, q)
	}
	return out, nil
}

// quantile expects sorted numbers, at least one, and q in [0, 1].
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	below := int(at)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	low, high, part := sorted[below], sorted[below+1], at-float64(below)
	if low == high || part == 0 || math.IsInf(low, -1) {
		return low // beside an infinity the sum would be NaN
	}
	return low + part*(high-low)
}

// WinRate returns the share of pairs in which a is above b, where a tie counts
// half. It is an error if the lengths differ, if there are no pairs, or if a
// score is NaN.
func WinRate(a, b []float64) (float64, error) {
	if len(a) != len(b) {
		return 0, fmt.Errorf("stats: win rate: %d scores against %d, want pairs", len(a), len(b))
	}
	if len(a) == 0 {
		return 0, fmt.Errorf("stats: win rate: no pairs, want at least one")
	}
	wins := 0.0
	for i := range a {
		switch {
		case math.IsNaN(a[i]) || math.IsNaN(b[i]):
			return 0, fmt.Errorf("stats: win rate: pair %d of %d is %v, %v: want numbers", i+1, len(a), a[i], b[i])
		case a[i] > b[i]:
			wins++
		case a[i] == b[i]:
			wins += 0.5
		}
	}
	return wins / float64(len(a)), nil
}
