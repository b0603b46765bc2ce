package proxy

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkAccept measures one candidate at the paper's hidden size: the
// reference, and the evaluator on the ways that a candidate can take.
func BenchmarkAccept(b *testing.B) {
	for _, d := range []int{576, 4096} {
		rng := rand.New(rand.NewPCG(1, 1))
		h, embedding := vector(rng, d), vector(rng, d)
		lookahead, prefix := benchmarkModel(b, Lookahead, d), benchmarkModel(b, Prefix, d)
		normed := benchmarkModel(b, Prefix, d)
		normed.Norm = NewNorm(2 * d)
		run := func(name string, accept func() float64) {
			b.Run(fmt.Sprintf("%s/d=%d", name, d), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					accept()
				}
			})
		}

		features := float64s(h, embedding)
		run("reference/lookahead", func() float64 { return lookahead.Accept(features[:d]) })
		run("reference/prefix", func() float64 { return prefix.Accept(features) })

		e := NewEvaluator(lookahead)
		run("lookahead", func() float64 { e.SetHidden(h); return e.Accept(nil) })
		p := NewEvaluator(prefix)
		run("prefix/position", func() float64 { p.SetHidden(h); return 0 })
		run("prefix/candidate", func() float64 { return p.Accept(embedding) })
		n := NewEvaluator(normed)
		n.SetHidden(h)
		run("prefix/norm", func() float64 { return n.Accept(embedding) })
		enableCache(b, p, 16)
		row := func(int32) ([]float32, error) { return embedding, nil }
		run("prefix/cached", func() float64 { return mustAccept(b, p, 1, row) })
	}
}

func benchmarkModel(b *testing.B, f Features, d int) *Model {
	return newModel(b, Config{
		Features: f, EmbeddingLength: d, FeedForwardLength: []int{2048}, Activation: ReLU, Cutoff: DefaultCutoff,
	}, 1)
}

// BenchmarkActivation measures the two activations that take an exponential, on
// 2048 values as they come out of the first layer.
func BenchmarkActivation(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	source, x := vector(rng, 2048), make([]float32, 2048)
	for _, a := range []Activation{ReLU, Tanh, SiLU} {
		b.Run(string(a), func(b *testing.B) {
			for b.Loop() {
				copy(x, source)
				a.applyFast(x)
			}
		})
	}
}

// BenchmarkOpen reads a proxy of 4.7 MB, as each push of new weights does.
func BenchmarkOpen(b *testing.B) {
	m := benchmarkModel(b, Lookahead, 576)
	path := b.TempDir() + "/proxy.gguf"
	if err := m.WriteFile(path); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(m.Bytes())
	for b.Loop() {
		if _, err := Open(path); err != nil {
			b.Fatal(err)
		}
	}
}
