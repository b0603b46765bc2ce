package ppo

import (
	"fmt"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Proxy returns the actor as a server runs it: the standardisation of the
// features folded into the first layer,
//
//	W·((x − mean)/sd) + b = (W/sd)·x + (b − (W/sd)·mean),
//
// and weights as out × in. c says everything but the hidden sizes and the
// activation, which are the agent's. The result shares no memory with the agent
// apart from what c holds.
func (a *Agent) Proxy(c proxy.Config) (*proxy.Model, error) {
	c.FeedForwardLength = append([]int(nil), a.options.HiddenSizes...)
	c.Activation = a.options.Activation
	if n := c.InputLength(); n != a.inputLength {
		return nil, fmt.Errorf("ppo: export: %s features of embedding length %d are %d values, but the agent was made for %d", c.Features, c.EmbeddingLength, n, a.inputLength)
	}
	m := &proxy.Model{Config: c}
	for i := range a.actor.layers() {
		m.Layers = append(m.Layers, transposed(a.actor, i))
	}
	a.standardiser().foldInto(&m.Layers[0])
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("ppo: export: %w", err)
	}
	return m, nil
}

func transposed(n *network, layer int) proxy.Linear {
	in, out := n.sizes[layer], n.sizes[layer+1]
	l := proxy.Linear{
		Weight: make([]float32, in*out),
		Bias:   append([]float32(nil), n.bias(layer)...),
		In:     in, Out: out,
	}
	w := n.weight(layer)
	// Tiles of 64 inputs, one cache line of each weight row at a time: the
	// paper's first layer is too large for strides of a whole row.
	const tile = 64
	parallelBy(in, tile, func(from, to int) {
		for o := range out {
			for i := from; i < to; i++ {
				l.Weight[o*in+i] = w[i*out+o]
			}
		}
	})
	return l
}

// foldInto changes l, which takes standardised features, to take raw ones.
func (s *standardiser) foldInto(l *proxy.Linear) {
	parallelBy(l.Out, 64, func(from, to int) {
		for o := from; o < to; o++ {
			row := l.Weight[o*l.In : (o+1)*l.In]
			bias := float64(l.Bias[o])
			for i := range row {
				w := float64(row[i]) * float64(s.inverse[i])
				bias -= w * float64(s.mean[i])
				row[i] = float32(w)
			}
			l.Bias[o] = float32(bias)
		}
	})
}
