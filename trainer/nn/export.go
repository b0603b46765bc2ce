package nn

import "github.com/proxy-rlhf/proxy-rlhf/proxy"

// Export returns n as a server runs it: the standardisation of the features folded
// into the first layer,
//
//	W·((x − mean)/sd) + b = (W/sd)·x + (b − (W/sd)·mean),
//
// and weights as out × in. c says everything but the hidden sizes and the
// activation, which are the network's. The result shares no memory with n apart
// from what c holds. It is an error if n and c do not make a valid proxy.
func (n *Network) Export(s *Standardiser, c proxy.Config) (*proxy.Model, error) {
	c.FeedForwardLength = append([]int(nil), n.Sizes[1:n.Layers()]...)
	c.Activation = n.Activation
	m := &proxy.Model{Config: c}
	for i := range n.Layers() {
		m.Layers = append(m.Layers, transposed(n, i))
	}
	s.foldInto(&m.Layers[0])
	return m, m.Validate()
}

func transposed(n *Network, layer int) proxy.Linear {
	in, out := n.Sizes[layer], n.Sizes[layer+1]
	l := proxy.Linear{
		Weight: make([]float32, in*out),
		Bias:   append([]float32(nil), n.bias(layer)...),
		In:     in, Out: out,
	}
	w := n.weight(layer)
	// Tiles of 64 inputs, one cache line of each weight row at a time: the
	// paper's first layer is too large for strides of a whole row.
	const tile = 64
	Parallel(in, tile, func(from, to int) {
		for o := range out {
			for i := from; i < to; i++ {
				l.Weight[o*in+i] = w[i*out+o]
			}
		}
	})
	return l
}
