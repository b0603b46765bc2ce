package nn

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Parameter is one tensor that is trained, with its gradient and Adam's moments.
// Value and Grad are bound into graphs and changed in place only.
type Parameter struct {
	Name          string
	Value, Grad   *tensor.Dense // rows × cols; Grad is nil for a target's
	Values, Grads []float32     // the backing of Value and Grad, row-major
	moment1       []float32     // Adam's running mean of the gradient
	moment2       []float32     // Adam's running mean of its square
}

func newParameter(name string, rows, cols int) *Parameter {
	p := &Parameter{Name: name}
	p.Value, p.Values = matrix(rows, cols)
	return p
}

// train gives p what a step needs.
func (p *Parameter) train() {
	shape := p.Value.Shape()
	p.Grad, p.Grads = matrix(shape[0], shape[1])
	p.moment1, p.moment2 = make([]float32, len(p.Values)), make([]float32, len(p.Values))
}

func matrix(rows, cols int) (*tensor.Dense, []float32) {
	backing := make([]float32, rows*cols)
	return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(backing)), backing
}

// Network is an MLP outside of any graph: linear layers of in × out weights with
// an activation between any two.
type Network struct {
	Name       string // in errors: "actor", "critic" and so on
	Sizes      []int  // input, hidden layers, output
	Activation proxy.Activation
	Params     []*Parameter // weight, bias, weight, bias, …
	Steps      int64        // Adam's t
}

// NewNetwork draws weights and biases as PyTorch's Linear does, uniform between
// ±1/√in.
func NewNetwork(name string, sizes []int, activation proxy.Activation, rng *rand.Rand) *Network {
	n := &Network{Name: name, Sizes: sizes, Activation: activation}
	for i := range len(sizes) - 1 {
		w, b := newParameter(weightName(i), sizes[i], sizes[i+1]), newParameter(biasName(i), 1, sizes[i+1])
		bound := 1 / math.Sqrt(float64(sizes[i]))
		for _, p := range []*Parameter{w, b} {
			for j := range p.Values {
				p.Values[j] = float32((2*rng.Float64() - 1) * bound)
			}
			p.train()
		}
		n.Params = append(n.Params, w, b)
	}
	return n
}

// NewScalar returns a network without layers, of one parameter: for [Network.Step].
func NewScalar(name string, value float32) *Network {
	p := newParameter("value", 1, 1)
	p.Values[0] = value
	p.train()
	return &Network{Name: name, Params: []*Parameter{p}}
}

// NewTarget returns a copy of n that is never trained: it has no gradients and no
// moments, and follows by [Network.Follow].
func NewTarget(name string, n *Network) *Network {
	t := &Network{Name: name, Sizes: n.Sizes, Activation: n.Activation}
	for _, p := range n.Params {
		shape := p.Value.Shape()
		q := newParameter(p.Name, shape[0], shape[1])
		copy(q.Values, p.Values)
		t.Params = append(t.Params, q)
	}
	return t
}

// Follow moves a target towards n: target ← target + τ·(n − target) (Polyak
// averaging).
func (t *Network) Follow(n *Network, tau float64) {
	step := float32(tau)
	for i, p := range t.Params {
		to, from := p.Values, n.Params[i].Values
		Parallel(len(to), chunk, func(begin, end int) {
			to, from := to[begin:end], from[begin:end]
			for j, v := range from {
				to[j] += step * (v - to[j])
			}
		})
	}
}

// ShareGradients makes n keep its gradients where other keeps its own, wherever
// the shapes agree. A gradient is needed only from the run of a program to the
// step after it, and the first layer's is a quarter of a network's memory. Call it
// before a program is built.
func (n *Network) ShareGradients(other *Network) {
	for i, p := range n.Params {
		if q := other.Params[i]; p.Grad.Shape().Eq(q.Grad.Shape()) {
			p.Grad, p.Grads = q.Grad, q.Grads
		}
	}
}

// Layers is the number of linear layers.
func (n *Network) Layers() int { return len(n.Sizes) - 1 }

func (n *Network) weight(layer int) []float32 { return n.Params[2*layer].Values }
func (n *Network) bias(layer int) []float32   { return n.Params[2*layer+1].Values }

// Quieten makes a network's outputs start at bias almost everywhere: a hundredth
// of the usual weights in the last layer. An actor of bias log π starts at that π
// (at 0.5 an untrained proxy rejects so much that training never sees good text);
// a critic of bias 0 starts by knowing nothing, where the usual weights would
// start it with noise many times as large as a token's reward.
func (n *Network) Quieten(bias ...float64) {
	last := n.Layers() - 1
	w, b := n.weight(last), n.bias(last)
	for i := range w {
		w[i] *= .01
	}
	for i := range b {
		b[i] = float32(bias[i])
	}
}

// Forward is the network in plain loops and float64, for one input: the slow,
// obvious twin of the graphs.
func (n *Network) Forward(x []float64) []float64 {
	for l := range n.Layers() {
		w, out := n.weight(l), n.Sizes[l+1]
		y := make([]float64, out)
		for o, b := range n.bias(l) {
			y[o] = float64(b)
		}
		for i, xi := range x {
			if l > 0 {
				xi = activation(n.Activation, xi)
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

// CheckWeights returns an error that names the first tensor with a number that
// is not finite.
func (n *Network) CheckWeights() error {
	for _, p := range n.Params {
		if i := FirstNotFinite(p.Values); i >= 0 {
			return fmt.Errorf("%s: weight %s is %v at index %d: lower the learning rate and go back to a checkpoint", n.Name, p.Name, p.Values[i], i)
		}
	}
	return nil
}

func (n *Network) checkGradients() error {
	for _, p := range n.Params {
		if i := FirstNotFinite(p.Grads); i >= 0 {
			return fmt.Errorf("%s: gradient of %s is %v at index %d: the step was not taken; look at the rewards, or lower the learning rate", n.Name, p.Name, p.Grads[i], i)
		}
	}
	return nil
}

// Blame returns the error of an output of n that is not finite: it names a weight
// if there is a bad one.
func (n *Network) Blame(output string, v float32) error {
	if err := n.CheckWeights(); err != nil {
		return err
	}
	return fmt.Errorf("%s: %s is %v although all weights are finite: look for huge rewards or features, or lower the learning rate", n.Name, output, v)
}

// FirstNotFinite returns the index of the first NaN or infinity, or -1.
func FirstNotFinite(v []float32) int {
	for i, x := range v {
		if x-x != 0 {
			return i
		}
	}
	return -1
}

// Parameters is the number of weights and biases.
func (n *Network) Parameters() int {
	count := 0
	for _, p := range n.Params {
		count += len(p.Values)
	}
	return count
}
