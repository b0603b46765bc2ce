package nn

import (
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// logSoftMaxOp is y = log softmax(z), row by row. Gorgonia's own takes the first
// element of the matrix for the largest of every row so far: exponentials overflow or
// vanish, and y is NaN, once some logits differ by a hundred.
type logSoftMaxOp struct {
	op
	dz *tensor.Dense
}

var _ G.SDOp = logSoftMaxOp{}

// LogSoftMax is along the rows of a matrix.
func (f *Formula) LogSoftMax(z *G.Node) *G.Node {
	if f.Err != nil {
		return nil
	}
	rows, cols := z.Shape()[0], z.Shape()[1]
	y, dz := backing(f.Dtype, rows, cols), backing(f.Dtype, rows, cols)
	return f.apply(logSoftMaxOp{newOp("logsoftmax", 1, y), dz}, z)
}

// Do is Gorgonia's: it runs the operation.
func (o logSoftMaxOp) Do(in ...G.Value) (G.Value, error) {
	cols := o.out.Shape()[1]
	if o.out.Dtype() == tensor.Float64 {
		logSoftMax(data[float64](o.out), data[float64](in[0]), cols)
	} else {
		logSoftMax(data[float32](o.out), data[float32](in[0]), cols)
	}
	return o.out, nil
}

// DiffWRT and SymDiff are Gorgonia's.
func (o logSoftMaxOp) DiffWRT(int) []bool { return []bool{true} }

func (o logSoftMaxOp) SymDiff(_ G.Nodes, y, dy *G.Node) (G.Nodes, error) {
	f := &Formula{Dtype: o.out.Dtype()}
	dz := f.apply(logSoftMaxSlopeOp{newOp("logsoftmax'", 2, o.dz)}, y, dy)
	return G.Nodes{dz}, f.Err
}

// logSoftMaxSlopeOp is dz = dy − softmax(z) Σ dy, row by row, of y and dy.
type logSoftMaxSlopeOp struct{ op }

// Do is Gorgonia's.
func (o logSoftMaxSlopeOp) Do(in ...G.Value) (G.Value, error) {
	cols := o.out.Shape()[1]
	if o.out.Dtype() == tensor.Float64 {
		logSoftMaxSlope(data[float64](o.out), data[float64](in[0]), data[float64](in[1]), cols)
	} else {
		logSoftMaxSlope(data[float32](o.out), data[float32](in[0]), data[float32](in[1]), cols)
	}
	return o.out, nil
}

// The rows are two actions wide and a few thousand: not worth a second core.

func logSoftMax[T number](y, z []T, cols int) {
	for ; len(z) > 0; y, z = y[cols:], z[cols:] {
		top := z[0]
		for _, v := range z[1:cols] {
			top = max(top, v)
		}
		sum := 0.0
		for _, v := range z[:cols] {
			sum += math.Exp(float64(v - top))
		}
		for i, v := range z[:cols] {
			y[i] = v - top - T(math.Log(sum))
		}
	}
}

func logSoftMaxSlope[T number](dz, y, dy []T, cols int) {
	for ; len(y) > 0; dz, y, dy = dz[cols:], y[cols:], dy[cols:] {
		var sum T
		for _, d := range dy[:cols] {
			sum += d
		}
		for i, v := range y[:cols] {
			dz[i] = dy[i] - T(math.Exp(float64(v)))*sum
		}
	}
}
