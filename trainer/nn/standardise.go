package nn

import (
	"fmt"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// Standardiser is y = (x − mean)·inverse in float32, the very numbers that
// [Network.Export] folds.
type Standardiser struct{ mean, inverse []float32 }

// NewStandardiser brings n features to mean 0 and deviation 1, as far as r has seen
// them. Where nothing was seen it is the identity.
func NewStandardiser(n int, r *rl.Running) *Standardiser {
	s := &Standardiser{mean: make([]float32, n), inverse: make([]float32, n)}
	for i := range n {
		s.inverse[i] = 1
		if r.Count > 0 {
			s.mean[i] = float32(r.Mean[i])
			s.inverse[i] = float32(1 / r.Scale(i))
		}
	}
	return s
}

// Apply writes the standardised features from to to, which may be the same.
func (s *Standardiser) Apply(to, from []float32) {
	mean, inverse := s.mean[:len(from)], s.inverse[:len(from)]
	to = to[:len(from)]
	for i, v := range from {
		to[i] = (v - mean[i]) * inverse[i]
	}
}

// Row returns features, standardised, for [Network.Forward]. It panics if their
// number is wrong.
func (s *Standardiser) Row(features []float32) []float64 {
	if len(features) != len(s.mean) {
		panic(fmt.Sprintf("nn: %d features, want %d", len(features), len(s.mean)))
	}
	row := make([]float32, len(features))
	s.Apply(row, features)
	x := make([]float64, len(row))
	for i, v := range row {
		x[i] = float64(v)
	}
	return x
}

// foldInto changes l, which takes standardised features, to take raw ones.
func (s *Standardiser) foldInto(l *proxy.Linear) {
	Parallel(l.Out, 64, func(from, to int) {
		for o := from; o < to; o++ {
			row := l.Weight[o*l.In : (o+1)*l.In]
			bias := float64(l.Bias[o])
			for i := range row {
				w := float64(row[i]) * float64(s.inverse[i])
				bias -= w * float64(s.mean[i])
				row[i] = float32(w)
			}
			l.Bias[o] = float32(bias)
		}
	})
}
