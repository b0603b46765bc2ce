package nn

import (
	"gonum.org/v1/gonum/blas"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// linearOp is y = x·W + 1·b for x rows × in, W in × out and b 1 × out, in one
// multiplication.
type linearOp struct {
	op
	dx     *tensor.Dense // nil: x is an input, whose gradient nobody wants
	dw, db *tensor.Dense // nil: memory of their own
}

var _ G.SDOp = linearOp{}

// Do is Gorgonia's: it runs the operation.
func (o linearOp) Do(in ...G.Value) (G.Value, error) {
	if o.out.Dtype() == tensor.Float64 {
		linear[float64](o.out, in[0], in[1], in[2])
	} else {
		linear[float32](o.out, in[0], in[1], in[2])
	}
	return o.out, nil
}

func linear[T number](y, x, w, b G.Value) {
	cols := y.Shape()[1]
	to, bias := data[T](y), data[T](b)
	Parallel(y.Shape()[0], 64, func(from, end int) {
		for i := from; i < end; i++ {
			copy(to[i*cols:(i+1)*cols], bias)
		}
	})
	gemm[T](blas.NoTrans, blas.NoTrans, x, w, 1, y)
}

// DiffWRT and SymDiff are Gorgonia's: the gradient of each input as a node.
func (o linearOp) DiffWRT(int) []bool { return []bool{o.dx != nil, true, true} }

func (o linearOp) SymDiff(in G.Nodes, _, dy *G.Node) (G.Nodes, error) {
	f := &Formula{Dtype: o.out.Dtype()}
	d := make(G.Nodes, 3)
	if o.dw == nil {
		w, b := in[1].Shape(), in[2].Shape()
		o.dw, o.db = backing(f.Dtype, w[0], w[1]), backing(f.Dtype, b[0], b[1])
	}
	if o.dx != nil {
		d[0] = f.apply(matMulOp{newOp("dy·Wᵀ", 2, o.dx), blas.NoTrans, blas.Trans}, dy, in[1])
	}
	d[1] = f.apply(matMulOp{newOp("xᵀ·dy", 2, o.dw), blas.Trans, blas.NoTrans}, in[0], dy)
	d[2] = f.apply(columnSumOp{newOp("1ᵀ·dy", 1, o.db)}, dy)
	return d, f.Err
}

// matMulOp is a·b, either of them transposed.
type matMulOp struct {
	op
	ta, tb blas.Transpose
}

// Do is Gorgonia's.
func (o matMulOp) Do(in ...G.Value) (G.Value, error) {
	if o.out.Dtype() == tensor.Float64 {
		gemm[float64](o.ta, o.tb, in[0], in[1], 0, o.out)
	} else {
		gemm[float32](o.ta, o.tb, in[0], in[1], 0, o.out)
	}
	return o.out, nil
}

// gemm is c ← a·b + beta·c with the BLAS that Gorgonia uses.
func gemm[T number](ta, tb blas.Transpose, a, b G.Value, beta T, c G.Value) {
	m, n := c.Shape()[0], c.Shape()[1]
	k := a.Shape()[1]
	if ta == blas.Trans {
		k = a.Shape()[0]
	}
	lda, ldb := a.Shape()[1], b.Shape()[1]
	lib := G.WhichBLAS()
	switch c := any(data[T](c)).(type) {
	case []float32:
		lib.Sgemm(ta, tb, m, n, k, 1, data[float32](a), lda, data[float32](b), ldb, float32(beta), c, n)
	case []float64:
		lib.Dgemm(ta, tb, m, n, k, 1, data[float64](a), lda, data[float64](b), ldb, float64(beta), c, n)
	}
}

// columnSumOp is the sum over rows, 1 × cols.
type columnSumOp struct{ op }

// Do is Gorgonia's.
func (o columnSumOp) Do(in ...G.Value) (G.Value, error) {
	if o.out.Dtype() == tensor.Float64 {
		columnSum[float64](o.out, in[0])
	} else {
		columnSum[float32](o.out, in[0])
	}
	return o.out, nil
}

func columnSum[T number](sum, m G.Value) {
	rows, cols := m.Shape()[0], m.Shape()[1]
	to, from := data[T](sum), data[T](m)
	Parallel(cols, 512, func(begin, end int) {
		to := to[begin:end]
		clear(to)
		for i := range rows {
			for j, v := range from[i*cols+begin : i*cols+end] {
				to[j] += v
			}
		}
	})
}
