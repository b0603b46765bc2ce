package sampler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// logs are logits whose softmax at temperature 1 is proportional to weights.
func logs(weights ...float64) []float32 {
	return each(len(weights), func(i int) float64 { return math.Log(weights[i]) })
}

func TestBuild(t *testing.T) {
	all := Options{Temperature: 1, TopP: 1}
	with := func(set func(*Options)) Options { o := all; set(&o); return o }
	fifth := Candidate{0, 0.2}
	tests := []struct {
		name   string
		logits []float32
		o      Options
		want   []Candidate
	}{
		{"sorted", logs(2, 5, 3), all, []Candidate{{1, .5}, {2, .3}, {0, .2}}},
		{"one token", []float32{-7}, all, []Candidate{{0, 1}}},
		{"ties to the lower id", []float32{1, 1, 1, 1, 1}, all,
			[]Candidate{fifth, {1, .2}, {2, .2}, {3, .2}, {4, .2}}},
		{"-0 ties with 0", []float32{float32(math.Copysign(0, -1)), 0}, all, []Candidate{{0, .5}, {1, .5}}},
		{"masked tokens are no candidates", []float32{negInf, 2, negInf, 2}, all, []Candidate{{1, .5}, {3, .5}}},
		{"top-k counts no masked tokens", []float32{negInf, 2, negInf, 2},
			with(func(o *Options) { o.TopK = 3 }), []Candidate{{1, .5}, {3, .5}}},
		{"temperature 0", logs(2, 5, 5), Options{TopP: 1}, []Candidate{{1, 1}}},
		{"zero options", logs(2, 5, 5), Options{}, []Candidate{{1, 1}}},
		{"temperature sharpens", logs(1, 3), with(func(o *Options) { o.Temperature = .5 }), []Candidate{{1, .9}, {0, .1}}},
		{"top-k", logs(1, 4, 2, 4), with(func(o *Options) { o.TopK = 3 }), []Candidate{{1, .4}, {3, .4}, {2, .2}}},
		{"top-k ties at the edge", logs(1, 4, 1, 1), with(func(o *Options) { o.TopK = 2 }), []Candidate{{1, .8}, {0, .2}}},
		{"top-k 1", logs(1, 4), with(func(o *Options) { o.TopK = 1 }), []Candidate{{1, 1}}},
		{"top-k beyond the vocabulary", logs(1, 4), with(func(o *Options) { o.TopK = 9 }), []Candidate{{1, .8}, {0, .2}}},
		// 0.4 does not exceed 0.4, so the next one stays.
		{"top-p keeps the token that exceeds it", []float32{0, 0, 0, 0, 0}, with(func(o *Options) { o.TopP = .4 }),
			[]Candidate{{0, 1. / 3}, {1, 1. / 3}, {2, 1. / 3}}},
		{"top-p below the first", logs(6, 3, 1), with(func(o *Options) { o.TopP = .5 }), []Candidate{{0, 1}}},
		{"top-p between", logs(6, 3, 1), with(func(o *Options) { o.TopP = .7 }), []Candidate{{0, 2. / 3}, {1, 1. / 3}}},
		{"top-p 0", logs(6, 3, 1), with(func(o *Options) { o.TopP = 0 }), []Candidate{{0, 1}}},
		// Of all three 7 / 8 is above 0.8; after top-k it would be 7 / 7.
		{"top-p counts what top-k left", logs(4, 3, 1), with(func(o *Options) { o.TopK = 2; o.TopP = .5 }), []Candidate{{0, 1}}},
		{"min-p", logs(6, 3, 1), with(func(o *Options) { o.MinP = .4 }), []Candidate{{0, 2. / 3}, {1, 1. / 3}}},
		{"min-p 1 keeps ties", []float32{1, 2, 2}, with(func(o *Options) { o.MinP = 1 }), []Candidate{{1, .5}, {2, .5}}},
		{"min-p is relative to the largest", logs(6, 2, 2), with(func(o *Options) { o.MinP = .33 }),
			[]Candidate{{0, .6}, {1, .2}, {2, .2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p Pool
			if err := p.Build(tt.logits, tt.o); err != nil {
				t.Fatal(err)
			}
			// 1e-6, because the logits are the float32 nearest to a logarithm.
			if diff := cmp.Diff(tt.want, p.Candidates(), cmpopts.EquateApprox(0, 1e-6)); diff != "" {
				t.Errorf("candidates (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildErrors(t *testing.T) {
	at := func(i int, v float32) []float32 { l := textLogits(1, 100); l[i] = v; return l }
	after := at(98, posInf)
	after[99] = nan
	o := DefaultOptions()
	tests := []struct {
		name   string
		logits []float32
		want   string
	}{
		{"none", nil, "no token to choose from"},
		{"all masked", each(50, func(int) float64 { return math.Inf(-1) }), "no token to choose from"},
		{"NaN first", at(0, nan), "token 0 is NaN"},
		{"NaN in a full block", at(13, nan), "token 13 is NaN"},
		{"NaN last", at(99, nan), "token 99 is NaN"},
		{"negative NaN", at(42, math.Float32frombits(0xffc00001)), "token 42 is NaN"},
		{"NaN after an infinity", after, "token 99 is NaN"},
		{"infinite", at(42, posInf), "token 42 is +Inf"},
		{"NaN alone", []float32{nan}, "token 0 is NaN"},
	}
	for _, tt := range tests {
		for name, o := range map[string]Options{
			"top-k off": o, "top-k 2": {Temperature: 1, TopP: 1, TopK: 2},
			"arg max": {}, "min-p": {Temperature: 1, TopP: 1, MinP: .1},
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				var p Pool
				if err := p.Build([]float32{1, 1}, Options{Temperature: 1, TopP: 1}); err != nil {
					t.Fatal(err)
				}
				err := p.Build(tt.logits, o)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want one that says %q", err, tt.want)
				}
				if len(p.Candidates()) != 0 || p.Rejections() != 0 {
					t.Errorf("a failed Build left %d candidates, %d rejections", len(p.Candidates()), p.Rejections())
				}
			})
		}
	}
	var p Pool
	if err := p.Build([]float32{1}, Options{Temperature: math.NaN()}); err == nil || !strings.Contains(err.Error(), "temperature is NaN") {
		t.Errorf("Build with invalid options: %v", err)
	}
}

// checkPool compares a pool just built with the slow version: to the last bit.
func checkPool(t *testing.T, p *Pool, logits []float32, o Options) {
	t.Helper()
	want := slowPool(logits, o)
	if !slices.Equal(p.Candidates(), want) {
		t.Fatalf("%+v: %d candidates, want %d: (-want +got):\n%s", o, len(p.Candidates()), len(want),
			cmp.Diff(want[:min(20, len(want))], p.Candidates()[:min(20, len(p.Candidates()))]))
	}
	if len(want) > 3000 {
		return // the slow walk is quadratic
	}
	if n, near := slowRejections(want, o); p.Rejections() != n && !near {
		t.Fatalf("%+v: %d candidates allow %d rejections, want %d", o, len(want), p.Rejections(), n)
	}
}

func TestBuildMatchesSlow(t *testing.T) {
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 7))
			var p Pool // one for all: what a Build leaves must not matter to the next
			for range 400 {
				n := 1 + r.IntN([]int{1, 3, 9, 40, 200, 1500}[r.IntN(6)])
				logits, o := shape(r, n), randomOptions(r)
				if err := p.Build(logits, o); err != nil {
					t.Fatal(err)
				}
				checkPool(t, &p, logits, o)
			}
			logits := shape(r, 49152)
			for _, o := range []Options{
				DefaultOptions(),
				{Temperature: 1, TopP: 0.95, PT: 1e-4},
				{Temperature: 0.25, TopP: 0.95, MinP: 0.01},
				{Temperature: 1, TopP: 1, MinP: 0.001},
				{Temperature: 0.8, TopP: 0.9, TopK: 40, PT: 0.01},
			} {
				if err := p.Build(logits, o); err != nil {
					t.Fatal(err)
				}
				checkPool(t, &p, logits, o)
			}
		})
	}
}

// Where TopP*Z is exactly a sum of the head, bounds on Z cannot tell and the
// exact definition must.
func TestTopPOnTheBoundary(t *testing.T) {
	var p Pool
	for _, n := range []int{2, 8, 64, 1024} {
		logits := make([]float32, n)
		if err := p.Build(logits, Options{Temperature: 1, TopP: 0.5}); err != nil {
			t.Fatal(err)
		}
		if got, want := len(p.Candidates()), n/2+1; got != want {
			t.Errorf("%d equal tokens, top-p 0.5: %d candidates, want %d", n, got, want)
		}
	}
}

func TestMassEnclosesZ(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var p Pool
	for name, shape := range shapes {
		for range 20 {
			logits := shape(r, 1+r.IntN(5000))
			top := slices.Max(logits)
			for _, temperature := range []float64{1e-310, 0.3, 1, 30} {
				var want float64
				for _, v := range logits {
					want += weight(v, top, temperature)
				}
				for _, floor := range []float64{-10, -20, math.Inf(-1)} {
					lo, hi := p.mass(logits, top, temperature, -5, floor)
					if !(lo <= want && want <= hi) {
						t.Fatalf("%s, temperature %v, floor %v: Z = %v is not in [%v, %v]", name, temperature, floor, want, lo, hi)
					}
					if math.IsInf(floor, -1) && hi-lo > 3e-7*want {
						t.Fatalf("%s, temperature %v: [%v, %v] is wide", name, temperature, lo, hi)
					}
				}
			}
		}
	}
}

func TestExpMinus(t *testing.T) {
	for x := 0.0; x < 4095; x += 0.01 {
		want := math.Exp(-x / 64)
		if got := expMinus(x); math.Abs(got-want) > 8.1e-8*want {
			t.Fatalf("expMinus(%v) = %v, want %v", x, got, want)
		}
	}
	end := math.Exp(-4095. / 64)
	for _, x := range []float64{4095, 4095.6, 1e10, 1e300, math.Inf(1)} {
		if got := expMinus(x); math.Abs(got-end) > 1e-7*end {
			t.Errorf("expMinus(%v) = %v, want %v", x, got, end)
		}
	}
}

// The mean of an untouched pool of n is 1/n: no rejection where n >= 1/p_t.
func TestUntouchedPoolAllowsNone(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	tests := []struct {
		pt   float64
		n    int
		none bool
	}{
		{0.1, 9, false}, {0.1, 10, true}, {0.1, 11, true},
		{0.01, 99, false}, {0.01, 100, true}, {0.01, 5000, true},
		{0.025, 39, false}, {0.025, 40, true},
		{1, 2, true}, {0.5, 2, true}, {0.4999, 2, false}, {0, 100, false},
	}
	for _, tt := range tests {
		for name, logits := range map[string][]float32{
			"uniform":  make([]float32, tt.n),
			"gaussian": shapes["gaussian"](r, tt.n),
		} {
			var p Pool
			if err := p.Build(logits, Options{Temperature: 1, TopP: 1, PT: tt.pt}); err != nil {
				t.Fatal(err)
			}
			if got := p.Rejections() == 0; got != tt.none {
				t.Errorf("%s pool of %d, p_t %v: %d rejections, want none %v", name, tt.n, tt.pt, p.Rejections(), tt.none)
			}
		}
	}
	// With top-p 1 and top-k 40, any p_t from 0.025 on switches the proxy off.
	for seed := range uint64(50) {
		var p Pool
		o := Options{Temperature: 0.8, TopP: 1, TopK: 40, PT: 0.025}
		if err := p.Build(textLogits(seed, 2000), o); err != nil {
			t.Fatal(err)
		}
		if p.Rejections() != 0 {
			t.Errorf("seed %d: %d rejections, want 0", seed, p.Rejections())
		}
	}
}

func TestRejections(t *testing.T) {
	tests := []struct {
		name   string
		logits []float32
		pt     float64
		bound  int
		want   int
	}{
		{"one candidate", logs(1), 0, 0, 0},
		{"p_t 0 stops at the last", logs(4, 3, 2, 1), 0, 0, 3},
		{"uniform", []float32{0, 0, 0, 0}, 0.2, 0, 3},
		// Sums 1, .6, .3, .1: means .25, .2, .15, .1.
		{"first mean at most p_t", logs(4, 3, 2, 1), 0.18, 0, 2},
		{"second", logs(4, 3, 2, 1), 0.22, 0, 1},
		{"none", logs(4, 3, 2, 1), 0.25, 0, 0},
		{"bounded", logs(4, 3, 2, 1), 0, 2, 2},
		{"bound above what p_t allows", logs(4, 3, 2, 1), 0.18, 3, 2},
		{"nothing left but underflow", []float32{0, -1e4, -1e4, -1e4}, 0, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p Pool
			if err := p.Build(tt.logits, Options{Temperature: 1, TopP: 1, PT: tt.pt, MaxRejections: tt.bound}); err != nil {
				t.Fatal(err)
			}
			if p.Rejections() != tt.want {
				t.Errorf("%d rejections, want %d", p.Rejections(), tt.want)
			}
		})
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, n := range []int{49152, 262144} {
		positions := [][]float32{textLogits(1, n), shapes["gaussian"](rand.New(rand.NewPCG(1, 1)), n), textLogits(2, n)}
		for _, topK := range []int{40, 0} {
			t.Run(fmt.Sprintf("n=%d/top_k=%d", n, topK), func(t *testing.T) {
				var p Pool
				var w Walk
				o := DefaultOptions()
				o.TopK = topK
				o.PT = 0
				token := func() {
					for _, logits := range positions {
						if err := p.Build(logits, o); err != nil {
							t.Fatal(err)
						}
						for w.Start(&p); !w.Forced(); {
							if err := w.Reject(); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
				for range 3 {
					token() // grows the scratch
				}
				if got := testing.AllocsPerRun(5, token); got != 0 {
					t.Errorf("%v allocations a token, want 0", got)
				}
			})
		}
	}
}

func TestKey(t *testing.T) {
	order := []float32{math.MaxFloat32, 2, 1, 1e-45, 0, -1e-45, -1, -2, -math.MaxFloat32}
	for i, v := range order {
		k := key(i+1e6, v)
		if keyToken(k) != int32(i+1e6) || keyLogit(k) != v {
			t.Errorf("key(%d, %v) comes back as %d, %v", i+1e6, v, keyToken(k), keyLogit(k))
		}
		if i > 0 && k <= key(math.MaxInt32, order[i-1]) {
			t.Errorf("the key of %v is not above that of %v", v, order[i-1])
		}
	}
	if zero := float32(math.Copysign(0, -1)); key(3, zero) != key(3, 0) {
		t.Error("-0 and 0 have different keys")
	}
}

// selectKey puts one key where sorting would, whatever order they come in.
func TestSelectKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for size := 1; size < 200; size += 7 {
		ascending := make([]uint64, size)
		for i := range ascending {
			ascending[i] = 3 * uint64(i)
		}
		shuffled, descending := slices.Clone(ascending), slices.Clone(ascending)
		rng.Shuffle(size, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		slices.Reverse(descending)
		for name, order := range map[string][]uint64{"ascending": ascending, "shuffled": shuffled, "descending": descending} {
			for _, n := range []int{0, size / 3, size - 1} {
				keys := slices.Clone(order)
				selectKey(keys, n)
				at := 3 * uint64(n)
				if keys[n] != at || n > 0 && slices.Max(keys[:n]) > at || n < size-1 && slices.Min(keys[n+1:]) < at {
					t.Errorf("%d keys, %s: index %d holds %d of %v", size, name, n, keys[n], keys)
				}
				if slices.Sort(keys); !slices.Equal(keys, ascending) {
					t.Errorf("%d keys, %s: they became %v", size, name, keys)
				}
			}
		}
	}
}
