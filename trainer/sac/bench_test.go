package sac

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// sized returns an agent of that size.
func sized(t testing.TB, inputs, hidden, rows int) *Agent {
	t.Helper()
	o := DefaultOptions()
	o.HiddenSizes, o.MinibatchSize, o.LearningStarts = []int{hidden}, rows, 0
	a, err := New(inputs, o, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// feed gives an agent one minibatch of random decisions.
func feed(t testing.TB, a *Agent) {
	t.Helper()
	inputs, rows := a.InputLength(), a.options.MinibatchSize
	rng := rand.New(rand.NewPCG(1, 1))
	e := rl.Episode{Transitions: make([]rl.Transition, rows)}
	for i := range e.Transitions {
		f := make([]float32, inputs)
		for j := range f {
			f[j] = float32(rng.NormFloat64())
		}
		e.Transitions[i] = rl.Transition{Features: f, Action: sampler.Accept, Token: i, Reward: rng.NormFloat64()}
	}
	if err := a.Add([]rl.Episode{e}); err != nil {
		t.Fatal(err)
	}
	a.sample()
}

// BenchmarkUpdate is one update at the demo's size. Compare with and without
// -tags openblas.
func BenchmarkUpdate(b *testing.B) { benchmarkUpdate(b, 1152, 256) }

func benchmarkUpdate(b *testing.B, inputs, hidden int) {
	const rows = 1024
	b.Run(fmt.Sprintf("%s/d%d-h%d-b%d", nn.BLAS(), inputs, hidden, rows), func(b *testing.B) {
		a := sized(b, inputs, hidden, rows)
		feed(b, a)
		b.ReportAllocs()
		for b.Loop() {
			a.sample()
			if err := a.learn(&meter{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
