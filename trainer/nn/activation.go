package nn

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// activationOp is y = f(z), element by element.
type activationOp struct {
	op
	f  proxy.Activation
	dz *tensor.Dense
}

var _ G.SDOp = activationOp{}

func newActivationOp(f proxy.Activation, y, dz *tensor.Dense) (activationOp, error) {
	switch f {
	case proxy.ReLU, proxy.Tanh, proxy.SiLU:
		return activationOp{newOp(string(f), 1, y), f, dz}, nil
	}
	return activationOp{}, fmt.Errorf("unknown activation %q: use relu, tanh or silu", f)
}

// Do is Gorgonia's: it runs the operation.
func (o activationOp) Do(in ...G.Value) (G.Value, error) {
	if o.out.Dtype() == tensor.Float64 {
		each(data[float64](o.out), func(y []float64, at int) { activate(o.f, y, data[float64](in[0])[at:]) })
	} else {
		each(data[float32](o.out), func(y []float32, at int) { activate(o.f, y, data[float32](in[0])[at:]) })
	}
	return o.out, nil
}

// DiffWRT and SymDiff are Gorgonia's.
func (o activationOp) DiffWRT(int) []bool { return []bool{true} }

func (o activationOp) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	f := &Formula{Dtype: o.out.Dtype()}
	dz := f.apply(slopeOp{newOp(string(o.f)+"'", 2, o.dz), o.f}, in[0], dy)
	return G.Nodes{dz}, f.Err
}

// slopeOp is dz = f'(z)·dy.
type slopeOp struct {
	op
	f proxy.Activation
}

// Do is Gorgonia's.
func (o slopeOp) Do(in ...G.Value) (G.Value, error) {
	if o.out.Dtype() == tensor.Float64 {
		each(data[float64](o.out), func(dz []float64, at int) {
			slope(o.f, dz, data[float64](in[0])[at:], data[float64](in[1])[at:])
		})
	} else {
		each(data[float32](o.out), func(dz []float32, at int) {
			slope(o.f, dz, data[float32](in[0])[at:], data[float32](in[1])[at:])
		})
	}
	return o.out, nil
}

// each calls f for pieces of v on all cores, with the index that a piece begins at.
func each[T number](v []T, f func(piece []T, at int)) {
	Parallel(len(v), chunk, func(from, to int) { f(v[from:to], from) })
}

func activate[T number](f proxy.Activation, y, z []T) {
	z = z[:len(y)]
	switch f {
	case proxy.ReLU:
		for i, v := range z {
			y[i] = max(v, 0)
		}
	case proxy.Tanh:
		for i, v := range z {
			y[i] = T(math.Tanh(float64(v)))
		}
	case proxy.SiLU:
		for i, v := range z {
			y[i] = v * sigmoid(v)
		}
	}
}

// slope is, at z: 1 above 0 for relu; 1 − tanh² for tanh; σ(1 + z(1−σ)) for silu.
func slope[T number](f proxy.Activation, dz, z, dy []T) {
	z, dy = z[:len(dz)], dy[:len(dz)]
	switch f {
	case proxy.ReLU:
		for i, v := range z {
			if v > 0 {
				dz[i] = dy[i]
			} else {
				dz[i] = 0
			}
		}
	case proxy.Tanh:
		for i, v := range z {
			t := T(math.Tanh(float64(v)))
			dz[i] = dy[i] * (1 - t*t)
		}
	case proxy.SiLU:
		for i, v := range z {
			s := sigmoid(v)
			dz[i] = dy[i] * s * (1 + v*(1-s))
		}
	}
}

func sigmoid[T number](v T) T { return T(1 / (1 + math.Exp(-float64(v)))) }
