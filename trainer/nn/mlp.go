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

// NewMLP adds x → linear → activation → … → linear to g. A bias is added as
// the outer product 1·b, which runs on BLAS forwards and backwards where
// Gorgonia's broadcasting copies element by element.
func NewMLP(g *G.ExprGraph, dt tensor.Dtype, sizes []int, activation proxy.Activation, batch int) (MLP, error) {
	m := MLP{X: G.NewMatrix(g, dt, G.WithShape(batch, sizes[0]), G.WithName("x"))}
	ones := onesColumn(g, dt, batch)
	m.Out = m.X
	var err error
	for i := range len(sizes) - 1 {
		w := G.NewMatrix(g, dt, G.WithShape(sizes[i], sizes[i+1]), G.WithName(weightName(i)))
		b := G.NewMatrix(g, dt, G.WithShape(1, sizes[i+1]), G.WithName(biasName(i)))
		m.Params = append(m.Params, w, b)
		if i > 0 {
			if m.Out, err = activate(activation, m.Out); err != nil {
				return MLP{}, err
			}
		}
		if m.Out, err = linear(m.Out, w, b, ones); err != nil {
			return MLP{}, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return m, nil
}

func weightName(layer int) string { return fmt.Sprintf("%d.weight", layer) }
func biasName(layer int) string   { return fmt.Sprintf("%d.bias", layer) }

func onesColumn(g *G.ExprGraph, dt tensor.Dtype, batch int) *G.Node {
	return G.NewMatrix(g, dt, G.WithShape(batch, 1), G.WithName("ones"), G.WithValue(tensor.Ones(dt, batch, 1)))
}

func linear(x, w, b, ones *G.Node) (*G.Node, error) {
	xw, err := G.Mul(x, w)
	if err != nil {
		return nil, err
	}
	bias, err := G.Mul(ones, b)
	if err != nil {
		return nil, err
	}
	return G.Add(xw, bias)
}

func activate(name proxy.Activation, x *G.Node) (*G.Node, error) {
	switch name {
	case proxy.ReLU:
		return G.Rectify(x)
	case proxy.Tanh:
		return G.Tanh(x)
	case proxy.SiLU:
		s, err := G.Sigmoid(x)
		if err != nil {
			return nil, err
		}
		return G.HadamardProd(x, s)
	}
	return nil, fmt.Errorf("unknown activation %q: use relu, tanh or silu", name)
}

// Bind adds net to g, with x (batch × input, float32) as its input. Input and
// parameters are bound by reference: what changes in them is seen by the next run.
func Bind(g *G.ExprGraph, net *Network, x *tensor.Dense) (MLP, error) {
	m, err := NewMLP(g, tensor.Float32, net.Sizes, net.Activation, x.Shape()[0])
	if err != nil {
		return MLP{}, err
	}
	if err := G.Let(m.X, x); err != nil {
		return MLP{}, err
	}
	for i, n := range m.Params {
		if err := G.Let(n, net.Params[i].Value); err != nil {
			return MLP{}, fmt.Errorf("binding %s: %w", net.Params[i].Name, err)
		}
	}
	return m, nil
}
