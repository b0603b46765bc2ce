package eval

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

func TestCrossing(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		name  string
		curve []float64
		level float64
		want  float64
	}{
		{"below the first", []float64{1, 2}, 0, 1},
		{"the first", []float64{1, 2}, 1, 1},
		{"a whole number", []float64{1, 2, 3}, 2, 2},
		{"half way in log n", []float64{1, 2}, 1.5, math.Sqrt2},
		{"between 2 and 3", []float64{1, 2, 4}, 2.5, 2 * math.Pow(1.5, .25)},
		{"the last", []float64{1, 2, 4}, 4, 3},
		{"above", []float64{1, 2, 4}, 4.01, inf},
		{"a flat part", []float64{1, 1, 1, 2}, 1.5, 3 * math.Sqrt(4./3)},
		{"the first of two", []float64{1, 3, 2, 3}, 2, math.Sqrt2}, // a second reward may fall again
	} {
		if got := crossing(c.curve, c.level); got != c.want && math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: crossing(%v, %v) = %v, want %v", c.name, c.curve, c.level, got, c.want)
		}
	}
	// Where the curve is log n, the n of a level is exp of it.
	curve := make([]float64, 32)
	for i := range curve {
		curve[i] = math.Log(float64(i + 1))
	}
	for level := .05; level < math.Log(32); level += .05 {
		if got := crossing(curve, level); math.Abs(got-math.Exp(level)) > 1e-9 {
			t.Errorf("log n reaches %v at %v, want %v", level, got, math.Exp(level))
		}
	}
}

// uniform is scores whose rewards are uniform in [0, 1).
func uniform(prompts, draws int) *Scores {
	rng := rand.New(rand.NewPCG(1, 2))
	rewards := make([]float64, prompts*draws)
	for i := range rewards {
		rewards[i] = rng.Float64()
	}
	return scores(NameSampling, draws, rewards, nil)
}

func constant(prompts int, reward float64) *Scores {
	rewards := make([]float64, prompts)
	for i := range rewards {
		rewards[i] = reward
	}
	return scores(NameProxy, 0, rewards, &wire.Stats{Accepted: 4, Rejected: 1, Forwards: 5})
}

func first(s *Scores) []float64 { return s.Rewards }

// The best of n uniform numbers has the mean n/(n+1): a proxy of that worth is worth n draws.
func TestEqualN(t *testing.T) {
	draws := anyOf(uniform(400, 16))
	for _, n := range []float64{1.5, 2, 4, 8} {
		got, err := equalN(draws, anyOf(constant(400, n/(n+1))), first, 500, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got.N == nil || math.Abs(*got.N/n-1) > .1 || !(*got.Low < *got.N && *got.N < *got.High) || !(*got.Low < n && n < *got.High) {
			t.Fatalf("n of %v is %s", n, got)
		}
		want := &EqualN{
			N: got.N, Low: got.Low, High: got.High, Largest: 16,
			Proxy: Cost{Forwards: 5, Prompt: 10}, BestOf: Cost{Forwards: 4 * *got.N, Prompt: 10 + *got.N - 1},
		}
		if diff := cmp.Diff(want, got, near); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestEqualNEnds(t *testing.T) {
	draws := anyOf(uniform(50, 4))
	above, err := equalN(draws, anyOf(constant(50, 2)), first, 100, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&EqualN{Largest: 4, Proxy: Cost{5, 10}, BestOf: Cost{16, 13}}, above); diff != "" {
		t.Errorf("a proxy beyond reach (-want +got):\n%s", diff)
	}
	if got := above.String(); got != "> 4 [> 4, > 4]" {
		t.Errorf("a proxy beyond reach: %s", got)
	}
	below, err := equalN(draws, anyOf(constant(50, -1)), first, 100, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := below.String(); got != "1.0 [1.0, 1.0]" || below.BestOf != (Cost{4, 10}) {
		t.Errorf("a proxy worth less than one draw: %s, %+v", got, below.BestOf)
	}
	// Near the end of the curve some resamples reach it and others do not.
	best, err := draws.bestOf(4, "")
	if err != nil {
		t.Fatal(err)
	}
	most := stats.Mean(best.perPrompt(func(i int) float64 { return draws.scores.Rewards[i] }))
	end, err := equalN(draws, anyOf(constant(50, most-1e-6)), first, 500, 1)
	if err != nil {
		t.Fatal(err)
	}
	if end.N == nil || end.Low == nil || end.High != nil {
		t.Errorf("a proxy at the end: %s", end)
	}
}
