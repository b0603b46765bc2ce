package nn

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// gorgoniaMLP is NewMLP in Gorgonia's own operations.
func gorgoniaMLP(g *G.ExprGraph, sizes []int, activation proxy.Activation, batch int) (MLP, error) {
	f := &Formula{Dtype: tensor.Float64}
	matrix := func(name string, rows, cols int) *G.Node {
		return G.NewMatrix(g, f.Dtype, G.WithShape(rows, cols), G.WithName(name))
	}
	matMul := func(a, b *G.Node) (*G.Node, error) { return G.Mul(a, b) }
	ones := G.NewMatrix(g, f.Dtype, G.WithShape(batch, 1), G.WithName("ones"), G.WithValue(tensor.Ones(f.Dtype, batch, 1)))
	m := MLP{X: matrix("x", batch, sizes[0])}
	m.Out = m.X
	for i := range len(sizes) - 1 {
		w, b := matrix(weightName(i), sizes[i], sizes[i+1]), matrix(biasName(i), 1, sizes[i+1])
		m.Params = append(m.Params, w, b)
		if i > 0 {
			switch activation {
			case proxy.ReLU:
				m.Out = f.ReLU(m.Out)
			case proxy.Tanh:
				m.Out = f.Unary(G.Tanh, m.Out)
			case proxy.SiLU:
				m.Out = f.Mul(m.Out, f.Unary(G.Sigmoid, m.Out))
			}
		}
		m.Out = f.Add(f.Binary(matMul, m.Out, w), f.Binary(matMul, ones, b))
	}
	return m, f.Err
}

// outputAndGradients runs m on random numbers, which are the same in every call.
func outputAndGradients(t *testing.T, m MLP, err error) (out []float64, grads [][]float64) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 3))
	loss := G.Must(G.Sum(G.Must(G.Square(m.Out))))
	nodes, err := G.Grad(loss, m.Params...)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range append(G.Nodes{m.X}, m.Params...) {
		v := make([]float64, n.Shape().TotalSize())
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		if err := G.Let(n, tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(v))); err != nil {
			t.Fatal(err)
		}
	}
	values := make([]G.Value, len(nodes)+1)
	G.Read(m.Out, &values[0])
	for i, n := range nodes {
		G.Read(n, &values[i+1])
	}
	vm := G.NewTapeMachine(m.X.Graph())
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values[1:] {
		grads = append(grads, v.Data().([]float64))
	}
	return values[0].Data().([]float64), grads
}

func TestOperationsAgainstGorgonia(t *testing.T) {
	const batch = 5
	for _, sizes := range [][]int{{3, 2}, {4, 6, 1}, {4, 6, 5, 2}} {
		for _, activation := range []proxy.Activation{proxy.ReLU, proxy.Tanh, proxy.SiLU} {
			theirs, err := gorgoniaMLP(G.NewGraph(), sizes, activation, batch)
			wantOut, wantGrads := outputAndGradients(t, theirs, err)
			ours, err := NewMLP(G.NewGraph(), tensor.Float64, sizes, activation, batch)
			gotOut, gotGrads := outputAndGradients(t, ours, err)
			near := cmpopts.EquateApprox(1e-12, 1e-12)
			if diff := cmp.Diff(wantOut, gotOut, near); diff != "" {
				t.Errorf("%v %s: output (-Gorgonia +ours):\n%s", sizes, activation, diff)
			}
			if diff := cmp.Diff(wantGrads, gotGrads, near); diff != "" {
				t.Errorf("%v %s: gradients (-Gorgonia +ours):\n%s", sizes, activation, diff)
			}
		}
	}
}

func TestTargetFollows(t *testing.T) {
	n := bigNetwork()
	target := NewTarget("target", n)
	for _, p := range n.Params {
		for i := range p.Values {
			p.Values[i]++
		}
	}
	before := NewTarget("before", target)
	target.Follow(n, .25)
	for i, p := range target.Params {
		for j, v := range p.Values {
			want := .75*before.Params[i].Values[j] + .25*n.Params[i].Values[j]
			if d := v - want; d > 1e-6 || d < -1e-6 {
				t.Fatalf("%s[%d] is %v, want %v", p.Name, j, v, want)
			}
		}
	}
	same := NewTarget("same", n)
	same.Follow(n, .25)
	for i, p := range same.Params {
		if diff := cmp.Diff(n.Params[i].Values, p.Values); diff != "" {
			t.Fatalf("a target that is there moves: %s", p.Name)
		}
	}
}
