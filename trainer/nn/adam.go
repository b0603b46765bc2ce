package nn

import "math"

// Adam's decay rates (Kingma and Ba 2015) are left at the values everybody uses.
const (
	beta1 = 0.9
	beta2 = 0.999
)

// chunk is the number of elements that one goroutine works on at a time. Sums
// are formed chunk by chunk and added up in order, so that results do not depend
// on the number of cores.
const chunk = 1 << 15

// Step clips the gradient of n to a global norm of maxNorm (0: not at all) and
// takes one step of Adam, as PyTorch's clip_grad_norm_ and Adam do. It returns
// the norm before clipping. If the gradient is not finite, nothing is changed and
// the error names the tensor.
func (n *Network) Step(rate, eps, maxNorm float64) (norm float64, err error) {
	sum := 0.0
	for _, p := range n.Params {
		sum += sumOfSquares(p.Grads)
	}
	norm = math.Sqrt(sum)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, n.checkGradients()
	}
	scale := 1.0
	if maxNorm > 0 {
		scale = min(1, maxNorm/(norm+1e-6))
	}
	n.Steps++
	t := float64(n.Steps)
	u := adamUpdate{
		scale:    float32(scale),
		stepSize: float32(rate / (1 - math.Pow(beta1, t))),
		rootBias: float32(1 / math.Sqrt(1-math.Pow(beta2, t))),
		eps:      float32(eps),
	}
	for _, p := range n.Params {
		Parallel(len(p.Values), chunk, func(from, to int) {
			u.apply(p.Values[from:to], p.Grads[from:to], p.moment1[from:to], p.moment2[from:to])
		})
	}
	return norm, nil
}

// adamUpdate is one step's constants.
type adamUpdate struct{ scale, stepSize, rootBias, eps float32 }

// apply is, for every element,
//
//	m ← β₁m + (1−β₁)g    v ← β₂v + (1−β₂)g²
//	w ← w − rate/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
func (u adamUpdate) apply(w, g, m, v []float32) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)] // spares the bounds checks
	for i := range w {
		gi := g[i] * u.scale
		mi := beta1*m[i] + (1-beta1)*gi
		vi := beta2*v[i] + (1-beta2)*gi*gi
		m[i], v[i] = mi, vi
		w[i] -= u.stepSize * mi / (float32(math.Sqrt(float64(vi)))*u.rootBias + u.eps)
	}
}

func sumOfSquares(x []float32) float64 {
	partial := make([]float64, (len(x)+chunk-1)/chunk)
	Parallel(len(x), chunk, func(from, to int) {
		s := 0.0
		for _, v := range x[from:to] {
			s += float64(v) * float64(v)
		}
		partial[from/chunk] = s
	})
	sum := 0.0
	for _, s := range partial {
		sum += s
	}
	return sum
}
