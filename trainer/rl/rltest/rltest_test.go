package rltest

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The exact value against the mean of many replies.
func TestTokensValueIsTheMean(t *testing.T) {
	var env Tokens
	rng := rand.New(rand.NewPCG(1, 1))
	for range 5 {
		table := map[[TokensInputs]float32]float64{}
		pi := func(f []float32) float64 {
			key := [TokensInputs]float32(f)
			if _, ok := table[key]; !ok {
				table[key] = float64(rng.IntN(2))
			}
			return table[key]
		}
		exact := env.Value(pi)
		const n = 40_000
		mean := 0.0
		for _, e := range env.Play(pi, rng, n) {
			mean += e.Return / n
		}
		if math.Abs(mean-exact) > .03 { // four standard errors
			t.Errorf("mean %v, exact value %v", mean, exact)
		}
		if exact > env.Optimum()-.1 {
			t.Errorf("a random policy earns %v, the optimum is %v", exact, env.Optimum())
		}
	}
	always := env.Value(func([]float32) float64 { return 1 })
	if always > env.Optimum()/4 {
		t.Errorf("accepting everything earns %v, the optimum is %v: there is nothing to learn", always, env.Optimum())
	}
}

// A push to the right moves the cart right and tips the pole left; the numbers are
// Gymnasium's for one step from rest.
func TestCartPole(t *testing.T) {
	var s [CartPoleInputs]float64
	push(&s, 10)
	want := [CartPoleInputs]float64{0, .19512195, 0, -.29268293}
	for i := range s {
		if math.Abs(s[i]-want[i]) > 1e-8 {
			t.Errorf("element %d is %v, want %v", i, s[i], want[i])
		}
	}
	e := CartPole{}.Play(func([]float32) float64 { return 1 }, rand.New(rand.NewPCG(1, 1)))
	if e.Return < 7 || e.Return > 11 { // always one way: Gymnasium's takes 8 to 10 steps
		t.Errorf("pushing left only lasts %v steps", e.Return)
	}
}
