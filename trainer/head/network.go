package head

import (
	"math"
	"math/rand/v2"
)

// network is the score of a standardised state z, d values, as a function of its parameters θ: w·z, or with hidden units
// v·tanh(W·z + b). It has no bias at the end: pairs know differences alone.
type network struct{ d, hidden int }

// size is the number of parameters: w, or W, b and v.
func (n network) size() int {
	if n.hidden == 0 {
		return n.d
	}
	return n.hidden * (n.d + 2)
}

// parts are W (hidden × d), b and v.
func (n network) parts(theta []float64) (w, b, v []float64) {
	w, rest := theta[:n.hidden*n.d], theta[n.hidden*n.d:]
	return w, rest[:n.hidden], rest[n.hidden:]
}

// initial is where fitting starts: the linear score at 0, the other at small random weights, since at 0 its units are all alike.
func (n network) initial(seed uint64) []float64 {
	theta := make([]float64, n.size())
	if n.hidden == 0 {
		return theta
	}
	rng := rand.New(rand.NewPCG(seed, 0x68656164))
	w, _, v := n.parts(theta)
	for i := range w {
		w[i] = rng.NormFloat64() / math.Sqrt(float64(n.d))
	}
	for i := range v {
		v[i] = rng.NormFloat64() / math.Sqrt(float64(n.hidden)) / 10
	}
	return theta
}

func (n network) score(theta []float64, z []float32) float64 {
	if n.hidden == 0 {
		return dot(theta, z)
	}
	w, b, v := n.parts(theta)
	sum := 0.0
	for j := range v {
		sum += v[j] * math.Tanh(b[j]+dot(w[j*n.d:(j+1)*n.d], z))
	}
	return sum
}

// addGradient adds factor · ∂score/∂θ to gradient.
func (n network) addGradient(gradient, theta []float64, z []float32, factor float64) {
	if n.hidden == 0 {
		axpy(gradient, factor, z)
		return
	}
	w, b, v := n.parts(theta)
	gw, gb, gv := n.parts(gradient)
	for j := range v {
		t := math.Tanh(b[j] + dot(w[j*n.d:(j+1)*n.d], z))
		gv[j] += factor * t
		inner := factor * v[j] * (1 - t*t)
		gb[j] += inner
		axpy(gw[j*n.d:(j+1)*n.d], inner, z)
	}
}

// decayed reports whether the i-th parameter is held down by L2: all are but the biases.
func (n network) decayed(i int) bool {
	return i < n.hidden*n.d || i >= n.hidden*(n.d+1)
}

func dot(a []float64, b []float32) float64 {
	sum := 0.0
	for i, x := range b {
		sum += a[i] * float64(x)
	}
	return sum
}

// axpy adds factor·x to y.
func axpy(y []float64, factor float64, x []float32) {
	for i, v := range x {
		y[i] += factor * float64(v)
	}
}
