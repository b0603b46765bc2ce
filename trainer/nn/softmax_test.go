package nn

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Rows of very different size stand in one matrix, in float32 as in production, and
// each comes out as if it were alone: value and gradient.
func TestLogSoftMaxOfRowsFarApart(t *testing.T) {
	rows := [][2]float64{{300, 0}, {0, 1}, {-200, -200.5}, {-1000, 1000}, {0, 0}, {150, 149}}
	weights := [][2]float64{{1, 0}, {0, 1}, {0.5, 0.25}, {1, 1}, {-1, 2}, {0.125, -3}}
	var z, w, want, slopes []float32
	for i, row := range rows {
		top := max(row[0], row[1])
		log := top + math.Log(math.Exp(row[0]-top)+math.Exp(row[1]-top))
		for j := range row {
			z, w = append(z, float32(row[j])), append(w, float32(weights[i][j]))
			want = append(want, float32(row[j]-log))
			slopes = append(slopes, float32(weights[i][j]-math.Exp(row[j]-log)*(weights[i][0]+weights[i][1])))
		}
	}
	g, f := G.NewGraph(), &Formula{Dtype: tensor.Float32}
	input := func(name string, v []float32) *G.Node {
		return G.NewMatrix(g, f.Dtype, G.WithShape(len(rows), 2), G.WithName(name), G.WithValue(tensor.New(tensor.WithShape(len(rows), 2), tensor.WithBacking(v))))
	}
	logits := input("z", z)
	y := f.LogSoftMax(logits)
	loss := f.Sum(f.Mul(input("w", w), y))
	if f.Err != nil {
		t.Fatal(f.Err)
	}
	grads, err := G.Grad(loss, logits)
	if err != nil {
		t.Fatal(err)
	}
	var got, gotSlopes G.Value
	G.Read(y, &got)
	G.Read(grads[0], &gotSlopes)
	vm := G.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	near := cmpopts.EquateApprox(1e-6, 1e-6)
	if d := cmp.Diff(want, got.Data().([]float32), near); d != "" {
		t.Errorf("log softmax (-want +got):\n%s", d)
	}
	if d := cmp.Diff(slopes, gotSlopes.Data().([]float32), near); d != "" {
		t.Errorf("its gradient (-want +got):\n%s", d)
	}
}
