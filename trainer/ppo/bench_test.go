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
			o := DefaultOptions()
			o.HiddenSizes, o.MinibatchSize = []int{size.hidden}, size.rows
			a, err := New(size.inputs, o)
			if err != nil {
				b.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			e := rl.Episode{Transitions: make([]rl.Transition, size.rows)}
			order := make([]int, size.rows)
			for i := range e.Transitions {
				order[i] = i
				f := make([]float32, size.inputs)
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
			b.ReportAllocs()
			for b.Loop() {
				if err := a.minibatch(batch, order, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
