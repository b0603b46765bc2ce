package stats

import (
	"fmt"
	"math"
	"slices"
)

// BestOf returns how likely each of xs is to be the largest of n that are drawn
// from them without replacement, so that Σ wᵢ xᵢ is the mean of the best of n
// over all subsets: the unbiased estimate of best-of-n from more than n samples.
// The same weights give the mean of anything else that comes with the best one.
//
// Of N numbers in ascending order, the i-th is the largest of a subset with i−1
// below it to choose the other n−1 from:
//
//	wᵢ = C(i−1, n−1) / C(N, n),   w_N = n/N,   wᵢ₋₁ = wᵢ (i−n)/(i−1)
//
// Equal numbers share their weight. n = 1 weighs all alike, n = N the largest
// alone. It is an error if n is not in 1 … N, or if a number is NaN.
func BestOf(xs []float64, n int) ([]float64, error) {
	if n < 1 || n > len(xs) {
		return nil, fmt.Errorf("stats: best of %d: %d numbers to draw from, want n from 1 to that", n, len(xs))
	}
	if i := slices.IndexFunc(xs, math.IsNaN); i >= 0 {
		return nil, fmt.Errorf("stats: best of %d: number %d of %d is NaN", n, i+1, len(xs))
	}
	order := make([]int, len(xs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case xs[a] < xs[b]:
			return -1
		case xs[a] > xs[b]:
			return 1
		}
		return 0
	})
	weights := make([]float64, len(xs))
	w := float64(n) / float64(len(xs))
	for i := len(order); i >= 1; i-- {
		weights[order[i-1]] = w
		if i > 1 {
			w *= float64(max(i-n, 0)) / float64(i-1)
		}
	}
	shareTies(xs, order, weights)
	return weights, nil
}

// shareTies gives each of several equal numbers the mean of their weights. order
// lists the numbers ascending.
func shareTies(xs []float64, order []int, weights []float64) {
	for from := 0; from < len(order); {
		to, sum := from, 0.0
		for ; to < len(order) && xs[order[to]] == xs[order[from]]; to++ {
			sum += weights[order[to]]
		}
		for _, i := range order[from:to] {
			weights[i] = sum / float64(to-from)
		}
		from = to
	}
}
