package ppo

import (
	"fmt"
	"runtime"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A program is a compiled graph for one full minibatch. Its inputs are plain
// slices that the caller fills; weights are those of the network, by reference.
// The machine never writes to either.

// actorProgram computes PPO's objective and its gradient, which lands in the
// network's parameters.
type actorProgram struct {
	machine
	net        *network
	action     []float32 // batch × 2, one-hot
	oldLogProb []float32 // batch
	advantage  []float32 // batch
	weight     []float32 // batch
	policy     *G.F32
	entropy    *G.F32
	loss       *G.F32
	logProb    []float32 // batch
}

// criticProgram computes the value loss and its gradient.
type criticProgram struct {
	machine
	net    *network
	target []float32 // batch
	weight []float32 // batch
	loss   *G.F32
}

// valueProgram computes values only.
type valueProgram struct {
	machine
	value []float32 // batch
}

// Gorgonia hands the same tensor to several nodes, and unbinding those would put
// it into the pool of its tensor package once for each: later, two tensors would
// be one. Without the pool, unbinding is safe. It held empty headers only.
func init() { tensor.DontUsePool() }

// machine runs a graph. What is read of it is copied into buffers that live as
// long as the graph; nothing else outlives a run.
type machine struct {
	vm     G.VM
	graph  *G.ExprGraph
	tidies bool
}

func newMachine(g *G.ExprGraph) machine {
	bytes := 0
	for _, n := range g.AllNodes() {
		bytes += 4 * n.Shape().TotalSize()
	}
	return machine{vm: G.NewTapeMachine(g), graph: g, tidies: bytes > tidyAbove}
}

// tidyAbove is the size of a graph's tensors, in bytes, from which on they are
// collected after every run. A graph of the paper's size drops 90 MB a run, and at
// the collector's own pace that doubles the memory of the process. Tensors hold no
// pointers, so a collection takes a millisecond of such a run.
const tidyAbove = 64 << 20

func (m machine) run() error {
	err := m.vm.RunAll()
	m.vm.Reset()
	m.graph.UnbindAllNonInputs() // a node would keep its last value
	if m.tidies {
		runtime.GC()
	}
	return err
}

func newActorProgram(net *network, x *tensor.Dense, o Options) (*actorProgram, error) {
	g := G.NewGraph()
	m, err := bindMLP(g, net, x)
	if err != nil {
		return nil, err
	}
	l, err := newActorLoss(m.out, o.ClipCoef, o.EntCoef)
	if err != nil {
		return nil, err
	}
	batch := x.Shape()[0]
	p := &actorProgram{net: net}
	b := &binder{}
	p.action = b.input(l.action, batch, 2)
	p.oldLogProb = b.input(l.oldLogProb, batch)
	p.advantage = b.input(l.advantage, batch)
	p.weight = b.input(l.weight, batch)
	p.logProb = b.output(l.logProb, batch)
	p.policy, p.entropy, p.loss = b.scalar(l.policy), b.scalar(l.entropy), b.scalar(l.loss)
	b.gradients(l.loss, m.params, net)
	if b.err != nil {
		return nil, b.err
	}
	p.machine = newMachine(g)
	return p, nil
}

func newCriticProgram(net *network, x *tensor.Dense) (*criticProgram, error) {
	g := G.NewGraph()
	m, err := bindMLP(g, net, x)
	if err != nil {
		return nil, err
	}
	l, err := newCriticLoss(m.out)
	if err != nil {
		return nil, err
	}
	batch := x.Shape()[0]
	p := &criticProgram{net: net}
	b := &binder{}
	p.target, p.weight = b.input(l.target, batch), b.input(l.weight, batch)
	p.loss = b.scalar(l.loss)
	b.gradients(l.loss, m.params, net)
	if b.err != nil {
		return nil, b.err
	}
	p.machine = newMachine(g)
	return p, nil
}

func newValueProgram(net *network, x *tensor.Dense) (*valueProgram, error) {
	g := G.NewGraph()
	m, err := bindMLP(g, net, x)
	if err != nil {
		return nil, err
	}
	b := &binder{}
	p := &valueProgram{value: b.output(m.out, x.Shape()[0], 1)}
	if b.err != nil {
		return nil, b.err
	}
	p.machine = newMachine(g)
	return p, nil
}

// bindMLP adds net to g with x as its input.
func bindMLP(g *G.ExprGraph, net *network, x *tensor.Dense) (mlp, error) {
	m, err := newMLP(g, tensor.Float32, net.sizes, net.activation, x.Shape()[0])
	if err != nil {
		return mlp{}, err
	}
	if err := G.Let(m.x, x); err != nil {
		return mlp{}, err
	}
	for i, n := range m.params {
		if err := G.Let(n, net.params[i].value); err != nil {
			return mlp{}, fmt.Errorf("binding %s: %w", net.params[i].name, err)
		}
	}
	return m, nil
}

// binder connects nodes with slices and keeps the first error.
type binder struct{ err error }

func (b *binder) keep(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *binder) input(n *G.Node, shape ...int) []float32 {
	t := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))
	b.keep(G.Let(n, t))
	return t.Data().([]float32)
}

// output reads n after every run, into a tensor that is there beforehand:
// Gorgonia then copies instead of allocating.
func (b *binder) output(n *G.Node, shape ...int) []float32 {
	t := tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))
	read(n, t)
	return t.Data().([]float32)
}

func (b *binder) scalar(n *G.Node) *G.F32 {
	v := G.NewF32(0)
	read(n, v)
	return v
}

func (b *binder) gradients(loss *G.Node, params G.Nodes, net *network) {
	if b.err != nil {
		return
	}
	grads, err := G.Grad(loss, params...)
	if err != nil {
		b.keep(fmt.Errorf("differentiating the loss of the %s: %w", net.name, err))
		return
	}
	for i, n := range grads {
		read(n, net.params[i].grad)
	}
}

func read(n *G.Node, into G.Value) { G.Read(n, &into) }
