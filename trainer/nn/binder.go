package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Binder connects nodes with slices and keeps the first error. Slices that it
// returns are the backing of the nodes' values: fill inputs before a run, look at
// outputs after it.
type Binder struct{ err error }

func (b *Binder) keep(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Input binds a node to zeros.
func (b *Binder) Input(n *G.Node) []float32 {
	t := like(n)
	b.keep(G.Let(n, t))
	return t.Data().([]float32)
}

// Output reads n after every run, into a tensor that is there beforehand:
// Gorgonia then copies instead of allocating.
func (b *Binder) Output(n *G.Node) []float32 {
	t := like(n)
	read(n, t)
	return t.Data().([]float32)
}

// Scalar is [Binder.Output] for one number.
func (b *Binder) Scalar(n *G.Node) *G.F32 {
	v := G.NewF32(0)
	read(n, v)
	return v
}

// gradients adds the gradient of the loss to its graph; every run leaves it in the
// parameters of net.
func (b *Binder) gradients(loss *G.Node, params G.Nodes, net *Network) {
	if b.err != nil {
		return
	}
	grads, err := G.Grad(loss, params...)
	if err != nil {
		b.keep(fmt.Errorf("differentiating the loss of the %s: %w", net.Name, err))
		return
	}
	for i, n := range grads {
		if o, ok := n.Op().(interface{ writesTo(*tensor.Dense) bool }); !ok || !o.writesTo(net.Params[i].Grad) {
			read(n, net.Params[i].Grad)
		}
	}
}

func read(n *G.Node, into G.Value) { G.Read(n, &into) }

func like(n *G.Node) *tensor.Dense {
	return tensor.New(tensor.WithShape(n.Shape()...), tensor.Of(tensor.Float32))
}
