package nn

import (
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// op is what our Gorgonia operations have in common: matrices in, one matrix out,
// written into a tensor that is the operation's own. Gorgonia's operations allocate
// their results anew in every run, 90 MB at the paper's size, and go over them on
// one core.
type op struct {
	name  string
	arity int
	id    uint32 // no two operations compute the same
	out   *tensor.Dense
}

var ops atomic.Uint32

func newOp(name string, arity int, out *tensor.Dense) op {
	return op{name: name, arity: arity, id: ops.Add(1), out: out}
}

// Arity, Type, InferShape and the methods below are those of Gorgonia's Op.
func (o op) Arity() int { return o.arity }

func (o op) Type() hm.Type {
	matrix := G.TensorType{Dims: 2, Of: o.out.Dtype()}
	ts := make([]hm.Type, o.arity+1)
	for i := range ts {
		ts[i] = matrix
	}
	return hm.NewFnType(ts...)
}

func (o op) InferShape(...G.DimSizer) (tensor.Shape, error) { return o.out.Shape().Clone(), nil }

// ReturnsPtr is false so that no other operation writes over the result.
func (o op) ReturnsPtr() bool     { return false }
func (o op) CallsExtern() bool    { return false }
func (o op) OverwritesInput() int { return -1 }
func (o op) String() string       { return fmt.Sprintf("%s#%d", o.name, o.id) }

func (o op) WriteHash(h hash.Hash) { fmt.Fprint(h, o.String()) }

func (o op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// writesTo says that the operation leaves its result in t.
func (o op) writesTo(t *tensor.Dense) bool { return o.out == t }

// number is what networks are made of: float32 in production, float64 where
// gradients are compared with differences.
type number interface{ ~float32 | ~float64 }

// data returns the numbers of a value that is known to be a dense matrix of T.
func data[T number](v G.Value) []T { return v.Data().([]T) }

// backing is a matrix that an operation keeps its result in.
func backing(dt tensor.Dtype, rows, cols int) *tensor.Dense {
	return tensor.New(tensor.WithShape(rows, cols), tensor.Of(dt))
}

// scratch is the memory of intermediate results: programs that run one after the
// other, with one network each, may share it. A nil scratch shares nothing.
type scratch map[string]*tensor.Dense

func (s scratch) matrix(name string, dt tensor.Dtype, rows, cols int) *tensor.Dense {
	key := fmt.Sprint(name, dt, rows, cols)
	if m, ok := s[key]; ok {
		return m
	}
	m := backing(dt, rows, cols)
	if s != nil {
		s[key] = m
	}
	return m
}
