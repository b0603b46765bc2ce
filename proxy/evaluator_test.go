package proxy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// forEachKind runs a test on every kind of model: features, activation, norm,
// weights as in a float16 file, and a width that no vector unit divides.
func forEachKind(t *testing.T, test func(t *testing.T, m *Model, rng *rand.Rand)) {
	for _, features := range []Features{Lookahead, Prefix} {
		for _, activation := range []Activation{ReLU, Tanh, SiLU} {
			for _, norm := range []bool{false, true} {
				for _, half := range []bool{false, true} {
					name := fmt.Sprintf("%s/%s/norm=%t/f16=%t", features, activation, norm, half)
					t.Run(name, func(t *testing.T) {
						rng := rand.New(rand.NewPCG(7, 7))
						test(t, modelOfKind(t, features, activation, norm, half, rng), rng)
					})
				}
			}
		}
	}
}

func modelOfKind(t *testing.T, features Features, activation Activation, norm, half bool, rng *rand.Rand) *Model {
	t.Helper()
	c := testConfig()
	c.Features, c.Activation, c.Base = features, activation, Base{}
	c.EmbeddingLength, c.FeedForwardLength = 61, []int{130, 35}
	m := newModel(t, c, 11)
	for _, l := range m.Layers { // three times the initial spread, for answers away from 1/2
		for i := range l.Weight {
			l.Weight[i] *= 3
		}
	}
	if norm {
		withNorm(m, rng)
	}
	if !half {
		return m
	}
	f := rawFileOf(t, m)
	for _, s := range m.tensors() {
		f.setF16(s.name, s.values, gguf(s.shape)...)
	}
	read, err := decodeBytes(f.bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestEvaluatorAgreesWithReference(t *testing.T) {
	forEachKind(t, func(t *testing.T, m *Model, rng *rand.Rand) {
		e := NewEvaluator(m)
		d := m.EmbeddingLength
		low, high := 1.0, 0.0
		for range 20 {
			h := vector(rng, d)
			e.SetHidden(h)
			for range 3 {
				var embedding []float32
				if m.Features == Prefix {
					embedding = vector(rng, d)
				}
				want := m.Accept(float64s(h, embedding))
				if got := e.Accept(embedding); !near(got, want, 1e-5) {
					t.Fatalf("pi(accept) = %v, the reference has %v", got, want)
				}
				low, high = min(low, want), max(high, want)
			}
		}
		if high-low < 0.2 {
			t.Errorf("all answers are between %.2f and %.2f: too narrow to tell right from wrong", low, high)
		}
	})
}

// The numbers at d 4096 are those of long sums in float32.
func TestEvaluatorAgreesAtFullSize(t *testing.T) {
	c := testConfig()
	c.EmbeddingLength, c.FeedForwardLength, c.Activation, c.Base = 4096, []int{2048}, ReLU, Base{}
	m := newModel(t, c, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	h, embedding := vector(rng, 4096), vector(rng, 4096)
	e := NewEvaluator(m)
	e.SetHidden(h)
	want := m.Accept(float64s(h, embedding))
	if got := e.Accept(embedding); !near(got, want, 1e-5) {
		t.Errorf("pi(accept) = %v, the reference has %v", got, want)
	}
}

func TestLogisticRegression(t *testing.T) {
	c := testConfig()
	c.Features, c.EmbeddingLength, c.FeedForwardLength, c.Base = Lookahead, 1, []int{}, Base{}
	m := newModel(t, c, 1)
	m.Layers[0] = Linear{In: 1, Out: 2, Weight: []float32{1, -1}, Bias: []float32{0.5, 0}}
	e := NewEvaluator(m)
	e.SetHidden([]float32{2})
	want := 1 / (1 + math.Exp(-4.5)) // sigmoid((2 + 0.5) − (−2))
	for name, got := range map[string]float64{"evaluator": e.Accept(nil), "reference": m.Accept([]float64{2})} {
		if !near(got, want, 1e-12) {
			t.Errorf("%s: pi(accept) = %v, want %v", name, got, want)
		}
	}
}

func TestProbability(t *testing.T) {
	inf := math.Inf(1)
	tests := []struct{ accept, reject, want float64 }{
		{0, 0, 0.5},
		{math.Log(4), 0, 0.8},
		{1e308, -1e308, 1},
		{-1e308, 1e308, 0},
		{-800, 0, 0}, // below what a double holds
		{-700, 0, math.Exp(-700)},
		{inf, 0, 1},
		{0, inf, 0},
		{inf, inf, math.NaN()},
		{math.NaN(), 0, math.NaN()},
	}
	for _, test := range tests {
		got := probability(test.accept, test.reject)
		if math.IsNaN(test.want) != math.IsNaN(got) || !math.IsNaN(test.want) && math.Abs(got-test.want) > 1e-15*test.want {
			t.Errorf("probability(%v, %v) = %v, want %v", test.accept, test.reject, got, test.want)
		}
	}
}

func TestNaNIsNotAnAnswer(t *testing.T) {
	forEachKind(t, func(t *testing.T, m *Model, rng *rand.Rand) {
		var embedding []float32
		if m.Features == Prefix {
			embedding = vector(rng, m.EmbeddingLength)
		}
		e := NewEvaluator(m)
		if got := e.Accept(embedding); !math.IsNaN(got) {
			t.Errorf("without a hidden state pi(accept) = %v, want NaN", got)
		}
		h := vector(rng, m.EmbeddingLength)
		h[3] = float32(math.NaN())
		e.SetHidden(h)
		if got := e.Accept(embedding); !math.IsNaN(got) {
			t.Errorf("with NaN in the state pi(accept) = %v, want NaN", got)
		}
		h[3] = 1
		e.SetHidden(h)
		if got := e.Accept(embedding); math.IsNaN(got) {
			t.Error("NaN outlives the state that had it")
		}
	})
}

func TestWrongLengthsPanic(t *testing.T) {
	c := testConfig()
	reference := newModel(t, c, 1)
	prefix := NewEvaluator(reference)
	c.Features = Lookahead
	lookahead := NewEvaluator(newModel(t, c, 1))
	tests := map[string]func(){
		"short state":         func() { prefix.SetHidden(make([]float32, 5)) },
		"long state":          func() { prefix.SetHidden(make([]float32, 12)) },
		"no embedding":        func() { prefix.Accept(nil) },
		"long embedding":      func() { prefix.Accept(make([]float32, 7)) },
		"needless embedding":  func() { lookahead.Accept(make([]float32, 6)) },
		"reference, features": func() { reference.Accept(make([]float64, 6)) },
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call()
		})
	}
}

// TestSameBitsAnywhere: the kernel sums in another order when a vector lies
// elsewhere in memory; the evaluator must not show it.
func TestSameBitsAnywhere(t *testing.T) {
	forEachKind(t, func(t *testing.T, m *Model, rng *rand.Rand) {
		d := m.EmbeddingLength
		h, embedding := vector(rng, d), []float32(nil)
		if m.Features == Prefix {
			embedding = vector(rng, d)
		}
		var want float64
		for shift := range 5 {
			e := NewEvaluator(m)
			e.SetHidden(append(make([]float32, shift, d+shift), h...)[shift:])
			got := e.Accept(append(make([]float32, shift, d+shift), embedding...)[shift:])
			if shift == 0 {
				want = got
			} else if got != want {
				t.Errorf("moved by %d floats pi(accept) = %v, before %v", shift, got, want)
			}
		}
	})
}

func TestNoAllocations(t *testing.T) {
	forEachKind(t, func(t *testing.T, m *Model, rng *rand.Rand) {
		d := m.EmbeddingLength
		h, embedding := vector(rng, d), []float32(nil)
		if m.Features == Prefix {
			embedding = vector(rng, d)
		}
		e := NewEvaluator(m)
		if n := testing.AllocsPerRun(20, func() {
			e.SetHidden(h)
			e.Accept(embedding)
		}); n != 0 {
			t.Errorf("%v allocations a call, want 0", n)
		}
	})
}

func TestConcurrentEvaluators(t *testing.T) {
	forEachKind(t, func(t *testing.T, m *Model, rng *rand.Rand) {
		table := embeddingTable(rng, 50, m.EmbeddingLength)
		h := vector(rng, m.EmbeddingLength)
		root := NewEvaluator(m)
		if m.Features == Prefix && m.Norm == nil {
			enableCache(t, root, 20)
		}
		want := make([]float64, len(table))
		alone := NewEvaluator(m)
		alone.SetHidden(h)
		for token := range table {
			want[token] = mustAccept(t, alone, int32(token), table.row)
		}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				e := root.Fork()
				e.SetHidden(h)
				rng := rand.New(rand.NewPCG(uint64(g), 0))
				for range 100 {
					token := rng.IntN(len(table))
					if got := mustAccept(t, e, int32(token), table.row); got != want[token] {
						t.Errorf("token %d: pi(accept) = %v among others, %v alone", token, got, want[token])
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestForkKeepsItsOwnState(t *testing.T) {
	forEachKind(t, func(t *testing.T, m *Model, rng *rand.Rand) {
		var embedding []float32
		if m.Features == Prefix {
			embedding = vector(rng, m.EmbeddingLength)
		}
		e := NewEvaluator(m)
		e.SetHidden(vector(rng, m.EmbeddingLength))
		want := e.Accept(embedding)
		fork := e.Fork()
		if got := fork.Accept(embedding); !math.IsNaN(got) {
			t.Errorf("a fork without a hidden state answers %v, want NaN", got)
		}
		fork.SetHidden(vector(rng, m.EmbeddingLength))
		if fork.Accept(embedding) == want {
			t.Error("another state, the same answer")
		}
		if got := e.Accept(embedding); got != want {
			t.Errorf("after the fork's work pi(accept) = %v, before %v", got, want)
		}
	})
}

func TestEvaluatorBytes(t *testing.T) {
	m := newModel(t, testConfig(), 1) // prefix, vocabulary of 100
	e := NewEvaluator(m)
	if got, want := e.Bytes(), m.Bytes(); got != want {
		t.Errorf("Bytes() = %d, want the parameters' %d", got, want)
	}
	enableCache(t, e, 8)
	if got, want := e.Bytes(), m.Bytes()+8*(4*10+entryOverhead); got != want {
		t.Errorf("with a cache, Bytes() = %d, want %d", got, want)
	}
	m = withNorm(m, rand.New(rand.NewPCG(1, 1)))
	if got, want := NewEvaluator(m).Bytes(), m.Bytes(); got != want {
		t.Errorf("with a norm, Bytes() = %d, want the parameters' %d", got, want)
	}
}
