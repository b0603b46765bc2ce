package sac

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
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

// BenchmarkUpdate is one update. The second size is the paper's. Compare with and
// without -tags openblas.
func BenchmarkUpdate(b *testing.B) {
	for _, size := range []struct{ inputs, hidden, rows int }{
		{1152, 256, 1024},
		{4096, 2048, 1024},
	} {
		b.Run(fmt.Sprintf("%s/d%d-h%d-b%d", nn.BLAS(), size.inputs, size.hidden, size.rows), func(b *testing.B) {
			if size.hidden > 1024 {
				nntest.SkipWithoutBLAS(b)
			}
			a := sized(b, size.inputs, size.hidden, size.rows)
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
}

// BenchmarkAgainstPyTorch is the paper's size against PyTorch in the same run:
//
//	CGO_LDFLAGS=-lopenblas TORCH_PYTHON=… go test -tags openblas -run '^$' -bench AgainstPyTorch -benchtime 20x ./trainer/sac ./trainer/ppo
func BenchmarkAgainstPyTorch(b *testing.B) {
	const inputs, hidden, rows = 4096, 2048, 1024
	a := sized(b, inputs, hidden, rows)
	feed(b, a)
	nntest.AgainstPyTorch(b, "sac", inputs, hidden, rows, func() error {
		a.sample()
		return a.learn(&meter{})
	})
}
