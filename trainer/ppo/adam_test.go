package ppo

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// big has more than one chunk, so that work is shared out.
func bigNetwork() *network {
	return newNetwork("actor", []int{300, 200, 2}, proxy.ReLU, rand.New(rand.NewPCG(4, 4)))
}

func randomGradients(n *network, rng *rand.Rand, scale float64) {
	for _, p := range n.params {
		for i := range p.grads {
			p.grads[i] = float32(scale * rng.NormFloat64())
		}
	}
}

func TestAdamAgainstGorgonia(t *testing.T) {
	n, rng := bigNetwork(), rand.New(rand.NewPCG(1, 9))
	theirs := make([]*valueGrad, len(n.params))
	model := make([]G.ValueGrad, len(n.params))
	for i, p := range n.params {
		theirs[i] = &valueGrad{value: p.value.Clone().(*tensor.Dense)}
		model[i] = theirs[i]
	}
	const rate, eps = 3e-3, 1e-6
	solver := G.NewAdamSolver(G.WithLearnRate(rate), G.WithEps(eps), G.WithBeta1(beta1), G.WithBeta2(beta2))
	for range 5 {
		randomGradients(n, rng, .1)
		for i, p := range n.params {
			theirs[i].grad = p.grad.Clone().(*tensor.Dense)
		}
		if _, err := n.step(rate, eps, 0); err != nil {
			t.Fatal(err)
		}
		if err := solver.Step(model); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range n.params {
		want := theirs[i].value.Data().([]float32)
		if diff := cmp.Diff(want, p.values, cmpopts.EquateApprox(0, 2e-6)); diff != "" {
			t.Errorf("%s (-Gorgonia +ours):\n%.500s", p.name, diff)
		}
	}
}

type valueGrad struct{ value, grad *tensor.Dense }

func (v *valueGrad) Value() G.Value         { return v.value }
func (v *valueGrad) Grad() (G.Value, error) { return v.grad, nil }

var _ G.ValueGrad = (*valueGrad)(nil)

func TestStepClipsTheGlobalNorm(t *testing.T) {
	n := bigNetwork()
	randomGradients(n, rand.New(rand.NewPCG(2, 2)), .01)
	want := 0.0
	for _, p := range n.params {
		for _, g := range p.grads {
			want += float64(g) * float64(g)
		}
	}
	want = math.Sqrt(want)
	norm, err := n.step(1e-3, 1e-8, .5)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(norm-want) > 1e-9 {
		t.Errorf("norm is %v, want %v", norm, want)
	}
	// After one step the first moment is a tenth of the clipped gradient.
	clipped := 0.0
	for _, p := range n.params {
		for _, m := range p.moment1 {
			clipped += 100 * float64(m) * float64(m)
		}
	}
	if got := math.Sqrt(clipped); math.Abs(got-.5) > 1e-4 {
		t.Errorf("norm after clipping is %v, want 0.5", got)
	}
}

func TestStepDoesNotDependOnCores(t *testing.T) {
	run := func(cores int) [][]float32 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		n := bigNetwork()
		randomGradients(n, rand.New(rand.NewPCG(2, 2)), .01)
		if _, err := n.step(1e-3, 1e-8, .5); err != nil {
			t.Fatal(err)
		}
		var values [][]float32
		for _, p := range n.params {
			values = append(values, p.values)
		}
		return values
	}
	if diff := cmp.Diff(run(1), run(5)); diff != "" {
		t.Errorf("one core and five differ:\n%.500s", diff)
	}
}

func TestStepRefusesNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		n := bigNetwork()
		n.params[2].grads[17] = float32(bad)
		before := slices.Clone(n.params[2].values)
		_, err := n.step(1e-3, 1e-8, .5)
		if err == nil || !strings.Contains(err.Error(), "actor: gradient of 1.weight") || !strings.Contains(err.Error(), "index 17") {
			t.Errorf("%v: error %v, want one that names network, tensor and index", bad, err)
		}
		if !slices.Equal(before, n.params[2].values) || n.steps != 0 {
			t.Errorf("%v: the step was taken all the same", bad)
		}
	}
}
