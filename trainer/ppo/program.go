package ppo

import (
	G "gorgonia.org/gorgonia"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

// actorProgram computes PPO's objective and its gradient. The caller fills its inputs.
type actorProgram struct {
	nn.Program
	action     []float32 // batch × 2, one-hot
	oldLogProb []float32 // batch
	advantage  []float32 // batch
	weight     []float32 // batch
	policy     *G.F32
	entropy    *G.F32
	logProb    []float32 // batch
}

// criticProgram computes the value loss and its gradient.
type criticProgram struct {
	nn.Program
	target []float32 // batch
	weight []float32 // batch
}

func newActorProgram(m *nn.Minibatch, net *nn.Network, o Options) (p actorProgram, err error) {
	p.Program, err = m.Compile(net, func(b *nn.Binder, out *G.Node) (*G.Node, error) {
		l, err := newActorLoss(out, o.ClipCoef, o.EntCoef)
		if err != nil {
			return nil, err
		}
		p.action = b.Input(l.action)
		p.oldLogProb = b.Input(l.oldLogProb)
		p.advantage = b.Input(l.advantage)
		p.weight = b.Input(l.weight)
		p.logProb = b.Output(l.logProb)
		p.policy, p.entropy = b.Scalar(l.policy), b.Scalar(l.entropy)
		return l.loss, nil
	})
	return p, err
}

func newCriticProgram(m *nn.Minibatch, net *nn.Network) (p criticProgram, err error) {
	p.Program, err = m.Compile(net, func(b *nn.Binder, out *G.Node) (*G.Node, error) {
		l, err := newCriticLoss(out)
		if err != nil {
			return nil, err
		}
		p.target, p.weight = b.Input(l.target), b.Input(l.weight)
		return l.loss, nil
	})
	return p, err
}
