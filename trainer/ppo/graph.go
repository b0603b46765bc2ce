package ppo

import (
	G "gorgonia.org/gorgonia"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

// Everything in this file builds nodes of a static Gorgonia graph and nothing
// is computed here. The element type is that of the logits: production runs in
// float32 and the central-difference tests need float64.

// actorLoss is the objective of the actor over one minibatch. Rows count with
// their weight: 1/rows for a real one, 0 for padding.
type actorLoss struct {
	// Inputs.
	action     *G.Node // batch × actions, one-hot
	oldLogProb *G.Node // batch: log pi_old(a|s)
	advantage  *G.Node // batch
	weight     *G.Node // batch
	// Outputs.
	logProb *G.Node // batch: log pi(a|s)
	policy  *G.Node // scalar, see newActorLoss
	entropy *G.Node // scalar: weighted mean entropy of pi(·|s)
	loss    *G.Node // scalar: policy − entCoef·entropy
}

// newActorLoss adds PPO's clipped surrogate (Schulman et al. 2017, eq. 7),
//
//	policy = −Σ wᵢ min(rᵢ Aᵢ, clip(rᵢ, 1−ε, 1+ε) Aᵢ),  r = exp(log pi − log pi_old),
//
// and the entropy bonus to the graph of logits (batch × actions). Gorgonia has
// neither clip nor min with a gradient, so both are written with rectifiers:
// clip(r, a, b) = a + (r−a)⁺ − (r−b)⁺ and min(x, y) = x − (x−y)⁺. The gradient
// of a clipped row is then a sum of equal terms of opposite sign: exactly 0. The
// number of actions is that of the logits, two for a proxy.
func newActorLoss(logits *G.Node, clip, entCoef float64) (actorLoss, error) {
	g, dt := logits.Graph(), logits.Dtype()
	batch, actions := logits.Shape()[0], logits.Shape()[1]
	vector := func(name string) *G.Node {
		return G.NewVector(g, dt, G.WithShape(batch), G.WithName(name))
	}
	l := actorLoss{
		action:     G.NewMatrix(g, dt, G.WithShape(batch, actions), G.WithName("action")),
		oldLogProb: vector("oldLogProb"),
		advantage:  vector("advantage"),
		weight:     vector("weight"),
	}
	c := &nn.Formula{Dtype: dt}
	all := c.LogSoftMax(logits)
	l.logProb = c.Sum(c.Mul(l.action, all), 1)

	ratio := c.Exp(c.Sub(l.logProb, l.oldLogProb))
	low, high := c.Constant(1-clip), c.Constant(1+clip)
	clippedRatio := c.Sub(c.Add(c.ReLU(c.Sub(ratio, low)), low), c.ReLU(c.Sub(ratio, high)))
	plain, clipped := c.Mul(ratio, l.advantage), c.Mul(clippedRatio, l.advantage)
	surrogate := c.Sub(plain, c.ReLU(c.Sub(plain, clipped)))
	l.policy = c.Neg(c.Sum(c.Mul(l.weight, surrogate)))

	plogp := c.Sum(c.Mul(c.Exp(all), all), 1)
	l.entropy = c.Neg(c.Sum(c.Mul(l.weight, plogp)))
	l.loss = c.Sub(l.policy, c.Mul(c.Constant(entCoef), l.entropy))
	return l, c.Err
}

// criticLoss is half the weighted mean squared error of the values, which is
// CleanRL's without clipping.
type criticLoss struct {
	target *G.Node // batch
	weight *G.Node // batch
	value  *G.Node // batch
	loss   *G.Node // scalar
}

// newCriticLoss adds ½ Σ wᵢ (vᵢ − targetᵢ)² to the graph of out (batch × 1).
func newCriticLoss(out *G.Node) (criticLoss, error) {
	g, dt, batch := out.Graph(), out.Dtype(), out.Shape()[0]
	l := criticLoss{
		target: G.NewVector(g, dt, G.WithShape(batch), G.WithName("target")),
		weight: G.NewVector(g, dt, G.WithShape(batch), G.WithName("weight")),
	}
	c := &nn.Formula{Dtype: dt}
	l.value = c.Sum(out, 1)
	diff := c.Sub(l.value, l.target)
	l.loss = c.Mul(c.Constant(.5), c.Sum(c.Mul(l.weight, c.Square(diff))))
	return l, c.Err
}
