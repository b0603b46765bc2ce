package eval

import (
	"math/rand/v2"
	"testing"
)

// An evaluation of the demo's held-out prompts with best-of-32: seconds are all that may be added to minutes of replies.
func BenchmarkEvaluate(b *testing.B) {
	const prompts, draws = 192, 32
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float64 {
		xs := make([]float64, n)
		for i := range xs {
			xs[i] = rng.NormFloat64()
		}
		return xs
	}
	c := Comparison{
		Greedy:   scores(NameGreedy, 0, random(prompts), nil),
		Sampling: scores(NameSampling, draws, random(prompts*draws), nil),
		Proxy:    scores(NameProxy, 0, random(prompts), nil),
		BestOf:   []int{2, 4, 8, 16, 32}, ShowSampling: true, Resamples: 10000, Seed: 1,
	}
	for b.Loop() {
		if _, err := c.Evaluate(); err != nil {
			b.Fatal(err)
		}
	}
}
