package nn

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
func bigNetwork() *Network {
	return NewNetwork("actor", []int{300, 200, 2}, proxy.ReLU, rand.New(rand.NewPCG(4, 4)))
}

func randomGradients(n *Network, rng *rand.Rand, scale float64) {
	for _, p := range n.Params {
		for i := range p.Grads {
			p.Grads[i] = float32(scale * rng.NormFloat64())
		}
	}
}

func TestAdamAgainstGorgonia(t *testing.T) {
	n, rng := bigNetwork(), rand.New(rand.NewPCG(1, 9))
	theirs := make([]*valueGrad, len(n.Params))
	model := make([]G.ValueGrad, len(n.Params))
	for i, p := range n.Params {
		theirs[i] = &valueGrad{value: p.Value.Clone().(*tensor.Dense)}
		model[i] = theirs[i]
	}
	const rate, eps = 3e-3, 1e-6
	solver := G.NewAdamSolver(G.WithLearnRate(rate), G.WithEps(eps), G.WithBeta1(beta1), G.WithBeta2(beta2))
	for range 5 {
		randomGradients(n, rng, .1)
		for i, p := range n.Params {
			theirs[i].grad = p.Grad.Clone().(*tensor.Dense)
		}
		if _, err := n.Step(rate, eps, 0); err != nil {
			t.Fatal(err)
		}
		if err := solver.Step(model); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range n.Params {
		want := theirs[i].value.Data().([]float32)
		if diff := cmp.Diff(want, p.Values, cmpopts.EquateApprox(0, 2e-6)); diff != "" {
			t.Errorf("%s (-Gorgonia +ours):\n%.500s", p.Name, diff)
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
	for _, p := range n.Params {
		for _, g := range p.Grads {
			want += float64(g) * float64(g)
		}
	}
	want = math.Sqrt(want)
	norm, err := n.Step(1e-3, 1e-8, .5)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(norm-want) > 1e-9 {
		t.Errorf("norm is %v, want %v", norm, want)
	}
	// After one step the first moment is a tenth of the clipped gradient.
	clipped := 0.0
	for _, p := range n.Params {
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
		if _, err := n.Step(1e-3, 1e-8, .5); err != nil {
			t.Fatal(err)
		}
		var values [][]float32
		for _, p := range n.Params {
			values = append(values, p.Values)
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
		n.Params[2].Grads[17] = float32(bad)
		before := slices.Clone(n.Params[2].Values)
		_, err := n.Step(1e-3, 1e-8, .5)
		if err == nil || !strings.Contains(err.Error(), "actor: gradient of 1.weight") || !strings.Contains(err.Error(), "index 17") {
			t.Errorf("%v: error %v, want one that names network, tensor and index", bad, err)
		}
		if !slices.Equal(before, n.Params[2].Values) || n.Steps != 0 {
			t.Errorf("%v: the step was taken all the same", bad)
		}
	}
}
