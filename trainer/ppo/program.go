package ppo

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

// A program is a compiled graph for one full minibatch. Its inputs are plain
// slices that the caller fills; weights are those of the network, by reference.
// The machine never writes to either.

// actorProgram computes PPO's objective and its gradient, which lands in the
// network's parameters.
type actorProgram struct {
	nn.Machine
	net        *nn.Network
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
	nn.Machine
	net    *nn.Network
	target []float32 // batch
	weight []float32 // batch
	loss   *G.F32
}

// valueProgram computes values only.
type valueProgram struct {
	nn.Machine
	value []float32 // batch
}

func newActorProgram(net *nn.Network, x *tensor.Dense, scratch nn.Scratch, o Options) (*actorProgram, error) {
	g := G.NewGraph()
	m, err := nn.Bind(g, net, x, scratch)
	if err != nil {
		return nil, err
	}
	l, err := newActorLoss(m.Out, o.ClipCoef, o.EntCoef)
	if err != nil {
		return nil, err
	}
	batch := x.Shape()[0]
	p := &actorProgram{net: net}
	b := &nn.Binder{}
	p.action = b.Input(l.action, batch, 2)
	p.oldLogProb = b.Input(l.oldLogProb, batch)
	p.advantage = b.Input(l.advantage, batch)
	p.weight = b.Input(l.weight, batch)
	p.logProb = b.Output(l.logProb, batch)
	p.policy, p.entropy, p.loss = b.Scalar(l.policy), b.Scalar(l.entropy), b.Scalar(l.loss)
	b.Gradients(l.loss, m.Params, net)
	if b.Err != nil {
		return nil, b.Err
	}
	p.Machine = nn.NewMachine(g)
	return p, nil
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
	p := &criticProgram{net: net}
	b := &nn.Binder{}
	p.target, p.weight = b.Input(l.target, batch), b.Input(l.weight, batch)
	p.loss = b.Scalar(l.loss)
	b.Gradients(l.loss, m.Params, net)
	if b.Err != nil {
		return nil, b.Err
	}
	p.Machine = nn.NewMachine(g)
	return p, nil
}

func newValueProgram(net *nn.Network, x *tensor.Dense, scratch nn.Scratch) (*valueProgram, error) {
	g := G.NewGraph()
	m, err := nn.Bind(g, net, x, scratch)
	if err != nil {
		return nil, err
	}
	b := &nn.Binder{}
	p := &valueProgram{value: b.Output(m.Out, x.Shape()[0], 1)}
	if b.Err != nil {
		return nil, b.Err
	}
	p.Machine = nn.NewMachine(g)
	return p, nil
}
