package stats

import (
	"fmt"
	"math"
)

// Histogram counts numbers in bins of equal width. Bin i holds
// Edges[i] ≤ x < Edges[i+1], and the last bin its upper edge as well.
type Histogram struct {
	Edges  []float64 `json:"edges"`  // one more than Counts, ascending
	Counts []int     `json:"counts"` // numbers in each bin
}

// NewHistogram counts xs between low and high, as numpy.histogram does: numbers
// outside are not counted. Histograms that are to be compared want the same
// edges: see [Bounds]. It is an error if bins is below 1, if low is not below
// high or their distance not finite, or if a number is NaN.
func NewHistogram(xs []float64, low, high float64, bins int) (Histogram, error) {
	if bins < 1 {
		return Histogram{}, fmt.Errorf("stats: histogram: %d bins, want at least 1", bins)
	}
	if distance := high - low; !(distance > 0) || math.IsInf(distance, 0) {
		return Histogram{}, fmt.Errorf("stats: histogram: from %v to %v, want two finite numbers in ascending order", low, high)
	}
	h := Histogram{Edges: make([]float64, bins+1), Counts: make([]int, bins)}
	width := (high - low) / float64(bins)
	for i := range h.Edges {
		h.Edges[i] = low + float64(i)*width // rounded as numpy.linspace does
	}
	h.Edges[bins] = high
	for i, x := range xs {
		if math.IsNaN(x) {
			return Histogram{}, fmt.Errorf("stats: histogram: number %d of %d is NaN", i+1, len(xs))
		}
		if x < low || x > high {
			continue
		}
		h.Counts[h.bin(x)]++
	}
	return h, nil
}

// bin finds the bin of x, which lies between the outer edges. The division may
// be off by one in the last place, so the edges have the last word.
func (h Histogram) bin(x float64) int {
	bins := len(h.Counts)
	low, high := h.Edges[0], h.Edges[bins]
	i := min(int((x-low)/(high-low)*float64(bins)), bins-1)
	switch {
	case x < h.Edges[i]:
		i--
	case i+1 < bins && x >= h.Edges[i+1]:
		i++
	}
	return i
}

// Bounds returns the smallest and the largest of all numbers of all sets, and
// widens a range of nothing by ½ on each side, as NumPy does; 0 and 1 of no
// numbers. NaN is passed over.
func Bounds(sets ...[]float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, xs := range sets {
		for _, x := range xs {
			if x < low {
				low = x
			}
			if x > high {
				high = x
			}
		}
	}
	switch {
	case low > high:
		return 0, 1
	case low == high:
		return low - 0.5, high + 0.5
	}
	return low, high
}
