package sac

import (
	G "gorgonia.org/gorgonia"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

// actions is the number of outputs of every network: accept and reject.
const actions = 2

// criticProgram computes one critic's loss and its gradient. The caller fills its
// inputs.
type criticProgram struct {
	nn.Program
	action []float32 // batch × actions, one-hot
	target []float32 // batch
	value  []float32 // batch
}

func newCriticProgram(m *nn.Minibatch, net *nn.Network) (p criticProgram, err error) {
	p.Program, err = m.Compile(net, func(b *nn.Binder, out *G.Node) (*G.Node, error) {
		l, err := newCriticLoss(out)
		if err != nil {
			return nil, err
		}
		p.action, p.target = b.Input(l.action), b.Input(l.target)
		fill(b.Input(l.weight), 1/float32(out.Shape()[0]))
		p.value = b.Output(l.value)
		return l.loss, nil
	})
	return p, err
}

// actorProgram computes the policy's objective and its gradient.
type actorProgram struct {
	nn.Program
	alpha   []float32 // batch × actions
	minQ    []float32 // batch × actions
	logProb []float32 // batch × actions
}

func newActorProgram(m *nn.Minibatch, net *nn.Network) (p actorProgram, err error) {
	p.Program, err = m.Compile(net, func(b *nn.Binder, out *G.Node) (*G.Node, error) {
		l, err := newActorLoss(out)
		if err != nil {
			return nil, err
		}
		p.alpha, p.minQ = b.Input(l.alpha), b.Input(l.minQ)
		fill(b.Input(l.weight), 1/float32(out.Shape()[0]))
		p.logProb = b.Output(l.logProb)
		return l.loss, nil
	})
	return p, err
}

func fill(to []float32, v float32) {
	for i := range to {
		to[i] = v
	}
}
