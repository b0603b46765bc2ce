package stats

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// enumerated is the chance of each number to be the largest of a subset of n, by
// looking at every subset; equal largest ones share it.
func enumerated(xs []float64, n int) []float64 {
	weights, subsets := make([]float64, len(xs)), 0.0
	for set := range 1 << len(xs) {
		if bits.OnesCount(uint(set)) != n {
			continue
		}
		subsets++
		best, ties := math.Inf(-1), 0.0
		for i, x := range xs {
			switch {
			case set&(1<<i) == 0:
			case x > best:
				best, ties = x, 1
			case x == best:
				ties++
			}
		}
		for i, x := range xs {
			if set&(1<<i) != 0 && x == best {
				weights[i] += 1 / ties
			}
		}
	}
	for i := range weights {
		weights[i] /= subsets
	}
	return weights
}

func TestBestOfAgreesWithEnumeration(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for count := 1; count <= 10; count++ {
		xs := make([]float64, count)
		for i := range xs {
			xs[i] = float64(rng.IntN(6)) - 3 // several are equal
		}
		for n := 1; n <= count; n++ {
			got, err := BestOf(xs, n)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(enumerated(xs, n), got, near); diff != "" {
				t.Errorf("best of %d of %v (-enumerated +got):\n%s", n, xs, diff)
			}
		}
	}
}

// The mean of the largest of n of the numbers 1 … N is n(N+1)/(n+1).
func TestBestOfWholeNumbers(t *testing.T) {
	for _, count := range []int{1, 2, 32, 100} {
		xs := make([]float64, count)
		for i := range xs {
			xs[(7*i)%count] = float64(i + 1) // 7 divides no count, so all are there, in disorder
		}
		for n := 1; n <= count; n++ {
			weights, err := BestOf(xs, n)
			if err != nil {
				t.Fatal(err)
			}
			sum, mean := 0.0, 0.0
			for i, w := range weights {
				sum += w
				mean += w * xs[i]
			}
			want := float64(n*(count+1)) / float64(n+1)
			if math.Abs(sum-1) > 1e-12 || math.Abs(mean-want) > 1e-10 {
				t.Errorf("best of %d of %d: weights add up to %v, mean %v, want %v", n, count, sum, mean, want)
			}
		}
	}
}

// Best-of-n never falls as n grows, whatever the numbers.
func TestBestOfGrows(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		xs := make([]float64, 32)
		for i := range xs {
			xs[i] = math.Round(rng.NormFloat64()*4) / 2
		}
		last := math.Inf(-1)
		for n := 1; n <= len(xs); n++ {
			weights, err := BestOf(xs, n)
			if err != nil {
				t.Fatal(err)
			}
			mean := 0.0
			for i, w := range weights {
				mean += w * xs[i]
			}
			if mean < last-1e-12 {
				t.Fatalf("best of %d is %v, of one less %v", n, mean, last)
			}
			last = mean
		}
	}
}
