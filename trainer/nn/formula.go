package nn

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Formula applies graph operations one after the other and keeps the first
// error, so that a formula can be read as one.
type Formula struct {
	Dtype tensor.Dtype
	Err   error // the first, or nil
}

func (f *Formula) keep(n *G.Node, err error) *G.Node {
	if f.Err == nil {
		f.Err = err
	}
	return n
}

// Binary applies an operation of two arguments, Unary one of one.
func (f *Formula) Binary(op func(a, b *G.Node) (*G.Node, error), a, b *G.Node) *G.Node {
	if f.Err != nil {
		return nil
	}
	return f.keep(op(a, b))
}

func (f *Formula) Unary(op func(a *G.Node) (*G.Node, error), a *G.Node) *G.Node {
	if f.Err != nil {
		return nil
	}
	return f.keep(op(a))
}

// Add, Sub and Mul are element by element, as are those below.
func (f *Formula) Add(a, b *G.Node) *G.Node { return f.Binary(G.Add, a, b) }
func (f *Formula) Sub(a, b *G.Node) *G.Node { return f.Binary(G.Sub, a, b) }
func (f *Formula) Mul(a, b *G.Node) *G.Node { return f.Binary(G.HadamardProd, a, b) }
func (f *Formula) ReLU(a *G.Node) *G.Node   { return f.Unary(G.Rectify, a) }
func (f *Formula) Exp(a *G.Node) *G.Node    { return f.Unary(G.Exp, a) }
func (f *Formula) Neg(a *G.Node) *G.Node    { return f.Unary(G.Neg, a) }
func (f *Formula) Square(a *G.Node) *G.Node { return f.Unary(G.Square, a) }

// Sum is over all elements, or along some axes.
func (f *Formula) Sum(a *G.Node, along ...int) *G.Node {
	return f.Unary(func(a *G.Node) (*G.Node, error) { return G.Sum(a, along...) }, a)
}

// Constant is v in the formula's type.
func (f *Formula) Constant(v float64) *G.Node {
	if f.Dtype == tensor.Float64 {
		return G.NewConstant(v)
	}
	return G.NewConstant(float32(v))
}

// apply adds one of our own operations.
func (f *Formula) apply(op G.Op, in ...*G.Node) *G.Node {
	if f.Err != nil {
		return nil
	}
	return f.keep(G.ApplyOp(op, in...))
}
