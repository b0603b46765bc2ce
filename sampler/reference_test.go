package sampler

import (
	"math"
	"math/rand/v2"
	"sort"
)

var (
	nan    = float32(math.NaN())
	negInf = float32(math.Inf(-1))
	posInf = float32(math.Inf(1))
)

// slowPool is the definition in the package comment, line by line: sort
// everything, then cut. The logits and options must be valid.
func slowPool(logits []float32, o Options) []Candidate {
	var pool []Candidate // in place of the probabilities, first logits, then weights
	for i, z := range logits {
		if z > negInf {
			pool = append(pool, Candidate{int32(i), float64(z)})
		}
	}
	sort.SliceStable(pool, func(i, j int) bool { return pool[i].Prob > pool[j].Prob })
	if o.TopK > 0 && o.TopK < len(pool) {
		pool = pool[:o.TopK]
	}
	if o.Temperature == 0 {
		pool = pool[:1]
		o.Temperature = 1
	}
	z0 := pool[0].Prob
	for i := range pool {
		pool[i].Prob = math.Exp((pool[i].Prob - z0) / o.Temperature)
	}
	if o.TopP < 1 {
		z, head := fromSmallest(pool), 0.0
		for i := range pool {
			if head += pool[i].Prob; head > o.TopP*z {
				pool = pool[:i+1]
				break
			}
		}
	}
	for i := range pool {
		if pool[i].Prob < o.MinP*pool[0].Prob {
			pool = pool[:i]
			break
		}
	}
	s := fromSmallest(pool)
	for i := range pool {
		pool[i].Prob /= s
	}
	return pool
}

func fromSmallest(pool []Candidate) float64 {
	s := 0.0
	for i := len(pool) - 1; i >= 0; i-- {
		s += pool[i].Prob
	}
	return s
}

// slowRejections walks down the pool and asks the paper's rule at every token,
// with probabilities rather than weights. near reports that the answer hangs on
// a rounding: a mean within 1e-12 of p_t.
func slowRejections(pool []Candidate, o Options) (n int, near bool) {
	for len(pool) > 1 {
		mean := fromSmallest(pool) / float64(len(pool))
		if math.Abs(mean-o.PT) <= 1e-12 {
			return n, true
		}
		if mean <= o.PT || o.MaxRejections > 0 && n == o.MaxRejections {
			break
		}
		pool = pool[1:]
		n++
	}
	return n, false
}

// shapes are what logits can look like; each makes n of them.
var shapes = map[string]func(r *rand.Rand, n int) []float32{
	"gaussian": func(r *rand.Rand, n int) []float32 {
		return each(n, func(int) float64 { return 2.5 * r.NormFloat64() })
	},
	"text":  func(r *rand.Rand, n int) []float32 { return textLogits(r.Uint64(), n) },
	"equal": func(r *rand.Rand, n int) []float32 { return each(n, func(int) float64 { return 3 }) },
	"nearly equal": func(r *rand.Rand, n int) []float32 {
		return each(n, func(int) float64 { return 3 + 1e-6*r.Float64() })
	},
	"quantised": func(r *rand.Rand, n int) []float32 {
		return each(n, func(int) float64 { return math.Round(2 * r.NormFloat64()) })
	},
	"zeros of both signs": func(r *rand.Rand, n int) []float32 {
		return each(n, func(int) float64 { return math.Copysign(float64(r.IntN(2)), r.Float64()-0.5) })
	},
	"peaked": func(r *rand.Rand, n int) []float32 {
		l := each(n, func(int) float64 { return r.NormFloat64() })
		l[r.IntN(n)] = 60
		return l
	},
	"ascending":  func(_ *rand.Rand, n int) []float32 { return each(n, func(i int) float64 { return float64(i) / 100 }) },
	"descending": func(_ *rand.Rand, n int) []float32 { return each(n, func(i int) float64 { return -float64(i) / 100 }) },
	"far apart": func(r *rand.Rand, n int) []float32 {
		return each(n, func(int) float64 { return 3e38 * (2*r.Float64() - 1) })
	},
	"tiny": func(r *rand.Rand, n int) []float32 {
		return each(n, func(int) float64 { return 1e-44 * r.NormFloat64() })
	},
	"masked": func(r *rand.Rand, n int) []float32 {
		l := each(n, func(int) float64 {
			if r.IntN(20) > 0 {
				return math.Inf(-1)
			}
			return 2 * r.NormFloat64()
		})
		l[r.IntN(n)] = 1 // never all
		return l
	},
}

func each(n int, f func(i int) float64) []float32 {
	l := make([]float32, n)
	for i := range l {
		l[i] = float32(f(i))
	}
	return l
}

// textLogits are shaped like a language model's: a Gaussian bulk and a few
// plausible tokens well above it.
func textLogits(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	l := each(n, func(int) float64 { return 2.5 * r.NormFloat64() })
	for range 60 {
		l[r.IntN(n)] = float32(10 + 2.5*r.ExpFloat64())
	}
	return l
}

func randomOptions(r *rand.Rand) Options {
	pick := func(of ...float64) float64 { return of[r.IntN(len(of))] }
	return Options{
		Temperature:   pick(0, 1e-9, 0.1, 0.5, 0.8, 0.8, 1, 2, 50),
		TopK:          int(pick(-1, 0, 0, 0, 1, 2, 7, 40, 300)),
		TopP:          pick(-1, 0, 0.1, 0.5, 0.75, 0.9, 0.9, 0.999999, 1, 1, 7),
		MinP:          pick(0, 0, 0, 1e-320, 1e-12, 0.01, 0.05, 0.5, 1),
		PT:            pick(0, 1e-4, 1e-3, 0.01, 0.025, 0.1, 0.5, 1),
		MaxRejections: int(pick(0, 0, 1, 3)),
	}
}
