package sac

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

// actions is the number of outputs of every network: accept and reject.
const actions = 2

// A program is a compiled graph for one minibatch. Its inputs are plain slices that
// the caller fills; weights are those of the network, by reference.

// forwardProgram computes a network's outputs only.
type forwardProgram struct {
	nn.Machine
	out []float32 // batch × actions
}

func newForwardProgram(net *nn.Network, x *tensor.Dense, scratch nn.Scratch) (*forwardProgram, error) {
	g := G.NewGraph()
	m, err := nn.Bind(g, net, x, scratch)
	if err != nil {
		return nil, err
	}
	b := &nn.Binder{}
	p := &forwardProgram{out: b.Output(m.Out, x.Shape()[0], actions)}
	if b.Err != nil {
		return nil, b.Err
	}
	p.Machine = nn.NewMachine(g)
	return p, nil
}

// criticProgram computes one critic's loss and its gradient, which lands in the
// network's parameters.
type criticProgram struct {
	nn.Machine
	action []float32 // batch × actions, one-hot
	target []float32 // batch
	value  []float32 // batch
	loss   *G.F32
}

func newCriticProgram(net *nn.Network, x *tensor.Dense, scratch nn.Scratch) (*criticProgram, error) {
	g := G.NewGraph()
	m, err := nn.Bind(g, net, x, scratch)
	if err != nil {
		return nil, err
	}
	l, err := newCriticLoss(m.Out)
	if err != nil {
		return nil, err
	}
	batch := x.Shape()[0]
	b := &nn.Binder{}
	p := &criticProgram{action: b.Input(l.action, batch, actions), target: b.Input(l.target, batch)}
	fill(b.Input(l.weight, batch), 1/float32(batch))
	p.value, p.loss = b.Output(l.value, batch), b.Scalar(l.loss)
	b.Gradients(l.loss, m.Params, net)
	if b.Err != nil {
		return nil, b.Err
	}
	p.Machine = nn.NewMachine(g)
	return p, nil
}

// actorProgram computes the policy's objective and its gradient.
type actorProgram struct {
	nn.Machine
	alpha   []float32 // batch × actions
	minQ    []float32 // batch × actions
	logProb []float32 // batch × actions
	loss    *G.F32
}

func newActorProgram(net *nn.Network, x *tensor.Dense, scratch nn.Scratch) (*actorProgram, error) {
	g := G.NewGraph()
	m, err := nn.Bind(g, net, x, scratch)
	if err != nil {
		return nil, err
	}
	l, err := newActorLoss(m.Out)
	if err != nil {
		return nil, err
	}
	batch := x.Shape()[0]
	b := &nn.Binder{}
	p := &actorProgram{alpha: b.Input(l.alpha, batch, actions), minQ: b.Input(l.minQ, batch, actions)}
	fill(b.Input(l.weight, batch, actions), 1/float32(batch))
	p.logProb, p.loss = b.Output(l.logProb, batch, actions), b.Scalar(l.loss)
	b.Gradients(l.loss, m.Params, net)
	if b.Err != nil {
		return nil, b.Err
	}
	p.Machine = nn.NewMachine(g)
	return p, nil
}

func fill(to []float32, v float32) {
	for i := range to {
		to[i] = v
	}
}
