package proxy

import (
	"fmt"
	"math"
)

// Accept returns pi(accept) for one vector of [Config.InputLength] features. It
// is the definition: float64 throughout, no shared work between candidates, one
// line of code for each line of mathematics. [Evaluator] is what serves.
//
// The result is NaN if the features are NaN, or so large that the logits are not
// numbers. Accept panics if the number of features is wrong.
func (m *Model) Accept(features []float64) float64 {
	if len(features) != m.InputLength() {
		panic(fmt.Sprintf("proxy: %d features, want %d", len(features), m.InputLength()))
	}
	x := features
	if m.Norm != nil {
		x = m.Norm.apply(x)
	}
	for i, l := range m.Layers {
		x = l.apply(x)
		if i < len(m.Layers)-1 {
			for j := range x {
				x[j] = m.Activation.apply(x[j])
			}
		}
	}
	return probability(x[0], x[1])
}

func (n *Norm) apply(x []float64) []float64 {
	mean, variance := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x))
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = (v-mean)/math.Sqrt(variance+NormEpsilon)*float64(n.Weight[i]) + float64(n.Bias[i])
	}
	return y
}

func (l *Linear) apply(x []float64) []float64 {
	y := make([]float64, l.Out)
	for o := range y {
		y[o] = float64(l.Bias[o])
		for i, v := range x {
			y[o] += float64(l.Weight[o*l.In+i]) * v
		}
	}
	return y
}

// apply is the activation of one number. NaN stays NaN.
func (a Activation) apply(x float64) float64 {
	switch a {
	case Tanh:
		return math.Tanh(x)
	case SiLU:
		return x / (1 + math.Exp(-x))
	default:
		return max(0, x)
	}
}

// probability is softmax([accept, reject])[0], written as the sigmoid of the
// difference and in the form whose exponential cannot overflow. Two equal
// infinities give NaN.
func probability(accept, reject float64) float64 {
	d := accept - reject
	if d < 0 {
		e := math.Exp(d)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-d))
}
