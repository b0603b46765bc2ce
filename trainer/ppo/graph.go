package ppo

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Everything in this file builds nodes of a static Gorgonia graph and nothing
// is computed here. The builders take the element type as an argument because
// production runs in float32 and the central-difference tests need float64.

// mlp is a stack of linear layers in a graph. Its parameters are listed layer
// by layer, weight before bias; weights are in × out and biases 1 × out.
type mlp struct {
	x      *G.Node // batch × sizes[0]
	params G.Nodes
	out    *G.Node // batch × sizes[last]
}

// newMLP adds x → linear → activation → … → linear to g. A bias is added as
// the outer product 1·b, which runs on BLAS forwards and backwards where
// Gorgonia's broadcasting copies element by element.
func newMLP(g *G.ExprGraph, dt tensor.Dtype, sizes []int, activation proxy.Activation, batch int) (mlp, error) {
	m := mlp{x: G.NewMatrix(g, dt, G.WithShape(batch, sizes[0]), G.WithName("x"))}
	ones := onesColumn(g, dt, batch)
	m.out = m.x
	var err error
	for i := range len(sizes) - 1 {
		w := G.NewMatrix(g, dt, G.WithShape(sizes[i], sizes[i+1]), G.WithName(weightName(i)))
		b := G.NewMatrix(g, dt, G.WithShape(1, sizes[i+1]), G.WithName(biasName(i)))
		m.params = append(m.params, w, b)
		if i > 0 {
			if m.out, err = activate(activation, m.out); err != nil {
				return mlp{}, err
			}
		}
		if m.out, err = linear(m.out, w, b, ones); err != nil {
			return mlp{}, fmt.Errorf("layer %d: %w", i, err)
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

// chain applies graph operations one after the other and keeps the first
// error, so that a formula can be read as one.
type chain struct {
	dt  tensor.Dtype
	err error
}

func (c *chain) keep(n *G.Node, err error) *G.Node {
	if c.err == nil {
		c.err = err
	}
	return n
}

func (c *chain) binary(op func(a, b *G.Node) (*G.Node, error), a, b *G.Node) *G.Node {
	if c.err != nil {
		return nil
	}
	return c.keep(op(a, b))
}

func (c *chain) unary(op func(a *G.Node) (*G.Node, error), a *G.Node) *G.Node {
	if c.err != nil {
		return nil
	}
	return c.keep(op(a))
}

func (c *chain) add(a, b *G.Node) *G.Node { return c.binary(G.Add, a, b) }
func (c *chain) sub(a, b *G.Node) *G.Node { return c.binary(G.Sub, a, b) }
func (c *chain) mul(a, b *G.Node) *G.Node { return c.binary(G.HadamardProd, a, b) }
func (c *chain) relu(a *G.Node) *G.Node   { return c.unary(G.Rectify, a) }
func (c *chain) exp(a *G.Node) *G.Node    { return c.unary(G.Exp, a) }
func (c *chain) neg(a *G.Node) *G.Node    { return c.unary(G.Neg, a) }

func (c *chain) sum(a *G.Node, along ...int) *G.Node {
	return c.unary(func(a *G.Node) (*G.Node, error) { return G.Sum(a, along...) }, a)
}

func (c *chain) constant(v float64) *G.Node {
	if c.dt == tensor.Float64 {
		return G.NewConstant(v)
	}
	return G.NewConstant(float32(v))
}

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
	c := &chain{dt: dt}
	all := c.unary(func(n *G.Node) (*G.Node, error) { return G.LogSoftMax(n) }, logits)
	l.logProb = c.sum(c.mul(l.action, all), 1)

	ratio := c.exp(c.sub(l.logProb, l.oldLogProb))
	low, high := c.constant(1-clip), c.constant(1+clip)
	clippedRatio := c.sub(c.add(c.relu(c.sub(ratio, low)), low), c.relu(c.sub(ratio, high)))
	plain, clipped := c.mul(ratio, l.advantage), c.mul(clippedRatio, l.advantage)
	surrogate := c.sub(plain, c.relu(c.sub(plain, clipped)))
	l.policy = c.neg(c.sum(c.mul(l.weight, surrogate)))

	plogp := c.sum(c.mul(c.exp(all), all), 1)
	l.entropy = c.neg(c.sum(c.mul(l.weight, plogp)))
	l.loss = c.sub(l.policy, c.mul(c.constant(entCoef), l.entropy))
	return l, c.err
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
	c := &chain{dt: dt}
	l.value = c.sum(out, 1)
	diff := c.sub(l.value, l.target)
	l.loss = c.mul(c.constant(.5), c.sum(c.mul(l.weight, c.unary(G.Square, diff))))
	return l, c.err
}
