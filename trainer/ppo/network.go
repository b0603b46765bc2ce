package ppo

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// parameter is one tensor that is trained, with its gradient and Adam's moments.
// value and grad are bound into graphs and changed in place only.
type parameter struct {
	name          string
	value, grad   *tensor.Dense // rows × cols
	moment1       []float32     // Adam's running mean of the gradient
	moment2       []float32     // Adam's running mean of its square
	values, grads []float32     // the backing of value and grad
}

func newParameter(name string, rows, cols int) *parameter {
	n := rows * cols
	p := &parameter{
		name: name, values: make([]float32, n), grads: make([]float32, n),
		moment1: make([]float32, n), moment2: make([]float32, n),
	}
	p.value = tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(p.values))
	p.grad = tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(p.grads))
	return p
}

// network is an MLP outside of any graph: linear layers of in × out weights with
// an activation between any two.
type network struct {
	name       string // in errors and states: "actor" or "critic"
	sizes      []int
	activation proxy.Activation
	params     []*parameter // weight, bias, weight, bias, …
	steps      int64        // Adam's t
}

// newNetwork draws weights and biases as PyTorch's Linear does, uniform between
// ±1/√in.
func newNetwork(name string, sizes []int, activation proxy.Activation, rng *rand.Rand) *network {
	n := &network{name: name, sizes: sizes, activation: activation}
	for i := range len(sizes) - 1 {
		w, b := newParameter(weightName(i), sizes[i], sizes[i+1]), newParameter(biasName(i), 1, sizes[i+1])
		bound := 1 / math.Sqrt(float64(sizes[i]))
		for _, p := range []*parameter{w, b} {
			for j := range p.values {
				p.values[j] = float32((2*rng.Float64() - 1) * bound)
			}
		}
		n.params = append(n.params, w, b)
	}
	return n
}

// shareGradients makes n keep its gradients where other keeps its own, wherever
// the shapes agree. A gradient is needed only from the run of a program to the
// step after it, and the first layer's is a quarter of a network's memory. Call it
// before a program is built.
func (n *network) shareGradients(other *network) {
	for i, p := range n.params {
		if q := other.params[i]; p.grad.Shape().Eq(q.grad.Shape()) {
			p.grad, p.grads = q.grad, q.grads
		}
	}
}

func (n *network) layers() int { return len(n.sizes) - 1 }

func (n *network) weight(layer int) []float32 { return n.params[2*layer].values }
func (n *network) bias(layer int) []float32   { return n.params[2*layer+1].values }

// quieten makes a network's outputs start at bias almost everywhere: a hundredth
// of the usual weights in the last layer. An actor of bias log π starts at that π
// (at 0.5 an untrained proxy rejects so much that training never sees good text);
// a critic of bias 0 starts by knowing nothing, where the usual weights would
// start it with noise many times as large as a token's reward.
func (n *network) quieten(bias ...float64) {
	last := n.layers() - 1
	w, b := n.weight(last), n.bias(last)
	for i := range w {
		w[i] *= .01
	}
	for i := range b {
		b[i] = float32(bias[i])
	}
}

// forward is the network in plain loops and float64, for one input: the slow,
// obvious twin of the graphs.
func (n *network) forward(x []float64) []float64 {
	for l := range n.layers() {
		w, out := n.weight(l), n.sizes[l+1]
		y := make([]float64, out)
		for o, b := range n.bias(l) {
			y[o] = float64(b)
		}
		for i, xi := range x {
			if l > 0 {
				xi = activation(n.activation, xi)
			}
			for o, v := range w[i*out : (i+1)*out] {
				y[o] += xi * float64(v)
			}
		}
		x = y
	}
	return x
}

func activation(a proxy.Activation, x float64) float64 {
	switch a {
	case proxy.Tanh:
		return math.Tanh(x)
	case proxy.SiLU:
		return x / (1 + math.Exp(-x))
	default:
		return max(0, x)
	}
}

// checkWeights returns an error that names the first tensor with a number that
// is not finite.
func (n *network) checkWeights() error {
	for _, p := range n.params {
		if i := firstNotFinite(p.values); i >= 0 {
			return fmt.Errorf("%s: weight %s is %v at index %d: lower the learning rate and go back to a checkpoint", n.name, p.name, p.values[i], i)
		}
	}
	return nil
}

func (n *network) checkGradients() error {
	for _, p := range n.params {
		if i := firstNotFinite(p.grads); i >= 0 {
			return fmt.Errorf("%s: gradient of %s is %v at index %d: the step was not taken; look at the rewards, or lower the learning rate", n.name, p.name, p.grads[i], i)
		}
	}
	return nil
}

// firstNotFinite returns the index of the first NaN or infinity, or -1.
func firstNotFinite(v []float32) int {
	for i, x := range v {
		if x-x != 0 {
			return i
		}
	}
	return -1
}
