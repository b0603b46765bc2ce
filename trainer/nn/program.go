package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Gorgonia hands the same tensor to several nodes, and unbinding those would put
// it into the pool of its tensor package once for each: later, two tensors would
// be one. Without the pool, unbinding is safe. It held empty headers only.
func init() { tensor.DontUsePool() }

// Minibatch is what the programs of an agent, which run one after the other, have in
// common: their input, and the memory of all that lies between it and the outputs.
type Minibatch struct {
	X       []float32 // rows × inputs, row-major: what the next run of a program sees
	x       *tensor.Dense
	scratch scratch
}

// NewMinibatch is of so many rows and inputs.
func NewMinibatch(rows, inputs int) *Minibatch {
	x, backing := matrix(rows, inputs)
	return &Minibatch{X: backing, x: x, scratch: scratch{}}
}

// Program is a compiled graph of a network. What is read of it is copied into buffers
// that live as long as the graph; of what Gorgonia's own operations make, nothing
// outlives a run. A run never writes to inputs and weights.
type Program struct {
	Net   *Network
	Loss  *G.F32 // nil without one
	vm    G.VM
	graph *G.ExprGraph
}

// Compile makes a program of net on the minibatch. Build adds what comes after the
// network's output (rows × outputs) and returns the loss, if there is one, whose
// gradient every run then leaves in the parameters of net.
func (m *Minibatch) Compile(net *Network, build func(b *Binder, out *G.Node) (loss *G.Node, err error)) (Program, error) {
	g, b := G.NewGraph(), &Binder{}
	mlp, err := m.bind(g, net)
	if err != nil {
		return Program{}, err
	}
	loss, err := build(b, mlp.Out)
	if err != nil {
		return Program{}, err
	}
	p := Program{Net: net, graph: g}
	if loss != nil {
		p.Loss = b.Scalar(loss)
		b.gradients(loss, mlp.Params, net)
	}
	if b.err != nil {
		return Program{}, b.err
	}
	p.vm = G.NewTapeMachine(g)
	return p, nil
}

// Run computes everything in the graph.
func (p Program) Run() error {
	err := p.vm.RunAll()
	p.vm.Reset()
	p.graph.UnbindAllNonInputs() // a node would keep its last value
	if err != nil {
		return fmt.Errorf("%s: %w", p.Net.Name, err)
	}
	return nil
}

// Step runs the program and then takes [Network.Step] with the gradient of its loss,
// unless that is not finite; errors then call it by its name.
func (p Program) Step(loss string, rate, eps, maxNorm float64) (norm float64, err error) {
	if err := p.Run(); err != nil {
		return 0, err
	}
	if v := float32(*p.Loss); v-v != 0 {
		return 0, p.Net.Blame(loss, v)
	}
	return p.Net.Step(rate, eps, maxNorm)
}

// Holding returns the operations that hold a value other than a scalar. After a run
// there are none.
func (p Program) Holding() G.Nodes {
	var held G.Nodes
	for _, n := range p.graph.AllNodes() {
		if n.Op() != nil && n.Value() != nil && !n.IsScalar() {
			held = append(held, n)
		}
	}
	return held
}

// Forward is a program that computes a network's outputs only.
type Forward struct {
	Program
	Out []float32 // rows × outputs
}

// Forward compiles net's.
func (m *Minibatch) Forward(net *Network) (f Forward, err error) {
	f.Program, err = m.Compile(net, func(b *Binder, out *G.Node) (*G.Node, error) {
		f.Out = b.Output(out)
		return nil, nil
	})
	return f, err
}
