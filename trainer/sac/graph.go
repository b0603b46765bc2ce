package sac

import (
	G "gorgonia.org/gorgonia"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

// Everything in this file builds nodes of a static Gorgonia graph and nothing is
// computed here. The element type is that of the network's output.

// criticLoss is the squared error of one critic.
type criticLoss struct {
	// Inputs.
	action *G.Node // batch × actions, one-hot
	target *G.Node // batch: y
	weight *G.Node // batch: 1/rows
	// Outputs.
	value *G.Node // batch: Q(s,a)
	loss  *G.Node // scalar
}

// newCriticLoss adds Σ wᵢ (Q(sᵢ,aᵢ) − yᵢ)² to the graph of q (batch × actions).
func newCriticLoss(q *G.Node) (criticLoss, error) {
	g, dt := q.Graph(), q.Dtype()
	batch, actions := q.Shape()[0], q.Shape()[1]
	l := criticLoss{
		action: G.NewMatrix(g, dt, G.WithShape(batch, actions), G.WithName("action")),
		target: G.NewVector(g, dt, G.WithShape(batch), G.WithName("target")),
		weight: G.NewVector(g, dt, G.WithShape(batch), G.WithName("weight")),
	}
	f := &nn.Formula{Dtype: dt}
	l.value = f.Sum(f.Mul(l.action, q), 1)
	l.loss = f.Sum(f.Mul(l.weight, f.Square(f.Sub(l.value, l.target))))
	return l, f.Err
}

// actorLoss is the objective of the policy.
type actorLoss struct {
	// Inputs.
	alpha  *G.Node // batch × actions: α everywhere
	minQ   *G.Node // batch × actions: min_i Q_i(s,a)
	weight *G.Node // batch × actions: 1/rows
	// Outputs.
	logProb *G.Node // batch × actions: log π(a|s)
	loss    *G.Node // scalar
}

// newActorLoss adds Σ wᵢ Σ_a π(a|sᵢ) (α log π(a|sᵢ) − min Q(sᵢ,a)) to the graph of
// logits (batch × actions).
func newActorLoss(logits *G.Node) (actorLoss, error) {
	g, dt := logits.Graph(), logits.Dtype()
	input := func(name string) *G.Node {
		return G.NewMatrix(g, dt, G.WithShape(logits.Shape()...), G.WithName(name))
	}
	l := actorLoss{alpha: input("alpha"), minQ: input("minQ"), weight: input("weight")}
	f := &nn.Formula{Dtype: dt}
	l.logProb = f.LogSoftMax(logits)
	cost := f.Mul(f.Exp(l.logProb), f.Sub(f.Mul(l.alpha, l.logProb), l.minQ))
	l.loss = f.Sum(f.Mul(l.weight, cost))
	return l, f.Err
}
