package ppo

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// BenchmarkMinibatch is one full minibatch: one step of the actor and one of the
// critic, features standardised and losses read. The second size is the paper's.
// Compare with and without -tags openblas.
func BenchmarkMinibatch(b *testing.B) {
	for _, size := range []struct{ inputs, hidden, rows int }{
		{1152, 256, 512},
		{4096, 2048, 1024},
	} {
		b.Run(fmt.Sprintf("%s/d%d-h%d-b%d", nn.BLAS(), size.inputs, size.hidden, size.rows), func(b *testing.B) {
			minibatch := sized(b, size.inputs, size.hidden, size.rows)
			b.ReportAllocs()
			for b.Loop() {
				if err := minibatch(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// sized returns what takes one step of an actor and a critic of that size, on a
// full minibatch of random decisions.
func sized(b *testing.B, inputs, hidden, rows int) (minibatch func() error) {
	b.Helper()
	o := DefaultOptions()
	o.HiddenSizes, o.MinibatchSize = []int{hidden}, rows
	a, err := New(inputs, o)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	e := rl.Episode{Transitions: make([]rl.Transition, rows)}
	order := make([]int, rows)
	for i := range e.Transitions {
		order[i] = i
		f := make([]float32, inputs)
		for j := range f {
			f[j] = float32(rng.NormFloat64())
		}
		e.Transitions[i] = rl.Transition{Features: f, LogProb: -.2, Token: i, Reward: rng.NormFloat64()}
	}
	batch, err := a.prepare([]rl.Episode{e})
	if err != nil {
		b.Fatal(err)
	}
	m := newMeter(batch)
	return func() error { return a.minibatch(batch, order, m) }
}
