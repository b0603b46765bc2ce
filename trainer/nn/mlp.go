package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// MLP is a stack of linear layers in a graph. Its parameters are listed layer
// by layer, weight before bias; weights are in × out and biases 1 × out.
type MLP struct {
	X      *G.Node // batch × sizes[0]
	Params G.Nodes
	Out    *G.Node // batch × sizes[last]
}

// NewMLP adds x → linear → activation → … → linear to g. The type is float32, or
// float64 for who checks gradients.
func NewMLP(g *G.ExprGraph, dt tensor.Dtype, sizes []int, activation proxy.Activation, batch int) (MLP, error) {
	b := mlpBuilder{dt: dt, batch: batch, activation: activation}
	return b.build(g, sizes)
}

// bind adds net to g, with the minibatch as its input. Input and parameters are bound
// by reference: what changes in them is seen by the next run. The gradients of a
// network that is trained land in its parameters (see Binder.gradients).
func (m *Minibatch) bind(g *G.ExprGraph, net *Network) (MLP, error) {
	b := mlpBuilder{dt: tensor.Float32, batch: m.x.Shape()[0], activation: net.Activation, scratch: m.scratch, net: net}
	mlp, err := b.build(g, net.Sizes)
	if err != nil {
		return MLP{}, err
	}
	if err := G.Let(mlp.X, m.x); err != nil {
		return MLP{}, err
	}
	for i, n := range mlp.Params {
		if err := G.Let(n, net.Params[i].Value); err != nil {
			return MLP{}, fmt.Errorf("binding %s: %w", net.Params[i].Name, err)
		}
	}
	return mlp, nil
}

// mlpBuilder adds an MLP to a graph.
type mlpBuilder struct {
	dt         tensor.Dtype
	batch      int
	activation proxy.Activation
	scratch    scratch
	net        *Network // nil, or whose gradients are to be written
}

func (b mlpBuilder) build(g *G.ExprGraph, sizes []int) (MLP, error) {
	m := MLP{X: G.NewMatrix(g, b.dt, G.WithShape(b.batch, sizes[0]), G.WithName("x"))}
	m.Out = m.X
	for i := range len(sizes) - 1 {
		w := G.NewMatrix(g, b.dt, G.WithShape(sizes[i], sizes[i+1]), G.WithName(weightName(i)))
		bias := G.NewMatrix(g, b.dt, G.WithShape(1, sizes[i+1]), G.WithName(biasName(i)))
		m.Params = append(m.Params, w, bias)
		if i > 0 {
			// The gradient of z takes the place of that of y, which nothing else reads.
			f, err := newActivationOp(b.activation, b.rows("y", i, sizes[i]), b.rows("d", i, sizes[i]))
			if err != nil {
				return MLP{}, err
			}
			if m.Out, err = G.ApplyOp(f, m.Out); err != nil {
				return MLP{}, fmt.Errorf("layer %d: %w", i, err)
			}
		}
		var err error
		if m.Out, err = G.ApplyOp(b.linear(i, sizes[i], sizes[i+1]), m.Out, w, bias); err != nil {
			return MLP{}, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return m, nil
}

// linear is layer i. The first one's input is data, whose gradient nobody wants.
func (b mlpBuilder) linear(i, in, out int) linearOp {
	o := linearOp{op: newOp("linear", 3, b.rows("z", i, out))}
	if i > 0 {
		o.dx = b.rows("d", i, in)
	}
	if b.net != nil && b.net.Params[2*i].Grad != nil {
		o.dw, o.db = b.net.Params[2*i].Grad, b.net.Params[2*i+1].Grad
	}
	return o
}

func (b mlpBuilder) rows(name string, layer, width int) *tensor.Dense {
	return b.scratch.matrix(fmt.Sprintf("%d.%s", layer, name), b.dt, b.batch, width)
}

func weightName(layer int) string { return fmt.Sprintf("%d.weight", layer) }
func biasName(layer int) string   { return fmt.Sprintf("%d.bias", layer) }
