// Package nntest checks the gradients of losses by central differences, saves and
// loads states, and times updates against PyTorch's. It is for the tests of the algorithms and for nothing
// else; nothing in it may be shared by goroutines.
package nntest

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// Lab is a graph of an MLP and a loss in float64, with random inputs and weights.
type Lab struct {
	t     *testing.T
	mlp   nn.MLP
	vm    G.VM
	loss  G.Value
	grads []G.Value
}

// run returns the loss and the gradient of each parameter.
func (l *Lab) run() (float64, [][]float64) {
	l.t.Helper()
	if err := l.vm.RunAll(); err != nil {
		l.t.Fatal(err)
	}
	l.vm.Reset()
	grads := make([][]float64, len(l.grads))
	for i, g := range l.grads {
		grads[i] = append(grads[i], g.Data().([]float64)...)
	}
	return l.loss.Data().(float64), grads
}

// New makes a network of these sizes and a loss on its output, rows × sizes[last].
func New(t *testing.T, sizes []int, a proxy.Activation, rows int, loss func(out *G.Node) *G.Node) *Lab {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(len(sizes))))
	m, err := nn.NewMLP(G.NewGraph(), tensor.Float64, sizes, a, rows)
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{t: t, mlp: m, grads: make([]G.Value, len(m.Params))}
	node := loss(m.Out)
	grads, err := G.Grad(node, m.Params...)
	if err != nil {
		t.Fatal(err)
	}
	G.Read(node, &l.loss)
	for i, n := range grads {
		G.Read(n, &l.grads[i])
	}
	for _, n := range append(G.Nodes{m.X}, m.Params...) {
		v := make([]float64, n.Shape().TotalSize())
		for i := range v {
			v[i] = .8 * rng.NormFloat64()
		}
		Let(t, n, v)
	}
	l.vm = G.NewTapeMachine(m.X.Graph())
	t.Cleanup(func() { l.vm.Close() })
	return l
}

// Let gives an input of a graph its values.
func Let(t *testing.T, n *G.Node, v []float64) {
	t.Helper()
	if err := G.Let(n, tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(v))); err != nil {
		t.Fatal(err)
	}
}

// CheckByCentralDifferences compares the gradient of every parameter with what
// moving it by ±1e-6 does to the loss.
func (l *Lab) CheckByCentralDifferences() {
	l.t.Helper()
	const h = 1e-6
	_, grads := l.run()
	largest := 0.0
	for i, p := range l.mlp.Params {
		v := p.Value().Data().([]float64)
		for j, at := range v {
			v[j] = at + h
			up, _ := l.run()
			v[j] = at - h
			down, _ := l.run()
			v[j] = at
			want := (up - down) / (2 * h)
			if math.Abs(grads[i][j]-want) > 1e-7 {
				l.t.Errorf("∂loss/∂%s[%d] = %.9f, by differences %.9f", p.Name(), j, grads[i][j], want)
			}
			largest = max(largest, math.Abs(want))
		}
	}
	if largest < 1e-3 {
		l.t.Errorf("the largest derivative is %g: there is nothing to compare", largest)
	}
}

// Networks are shapes to try a loss on.
var Networks = []struct {
	Activation proxy.Activation
	Hidden     []int
}{
	{proxy.ReLU, nil}, {proxy.ReLU, []int{7}}, {proxy.ReLU, []int{6, 4}}, {proxy.Tanh, []int{6, 4}}, {proxy.SiLU, []int{6, 4}},
}

// ThroughFile encodes v as a checkpoint is and returns what is decoded.
func ThroughFile[T any](t testing.TB, v T) (read T) {
	t.Helper()
	var file bytes.Buffer
	if err := run.Encode(&file, v); err != nil {
		t.Fatal(err)
	}
	if err := run.Decode(&file, &read); err != nil {
		t.Fatal(err)
	}
	return read
}
