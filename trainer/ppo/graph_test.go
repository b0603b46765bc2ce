package ppo

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
)

func TestActorGradient(t *testing.T) {
	for _, n := range nntest.Networks {
		for _, entropy := range []float64{0, .3} {
			t.Run(fmt.Sprint(n.Activation, n.Hidden, entropy), func(t *testing.T) {
				var a actorLoss
				l := nntest.New(t, append(append([]int{5}, n.Hidden...), 2), n.Activation, 6, func(out *G.Node) *G.Node {
					var err error
					if a, err = newActorLoss(out, .2, entropy); err != nil {
						t.Fatal(err)
					}
					return a.loss
				})
				// Both actions, both signs, ratios below, within and above 1 ± ε.
				nntest.Let(t, a.action, []float64{1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1})
				nntest.Let(t, a.oldLogProb, []float64{-.7, -.6, -.01, -.02, -4, -5})
				nntest.Let(t, a.advantage, []float64{1, -1, 2, -2, .5, -.5})
				nntest.Let(t, a.weight, []float64{.2, .2, .2, .2, .2, 0})
				l.CheckByCentralDifferences()
			})
		}
	}
}

func TestCriticGradient(t *testing.T) {
	for _, n := range nntest.Networks {
		t.Run(fmt.Sprint(n.Activation, n.Hidden), func(t *testing.T) {
			var c criticLoss
			l := nntest.New(t, append(append([]int{5}, n.Hidden...), 1), n.Activation, 4, func(out *G.Node) *G.Node {
				var err error
				if c, err = newCriticLoss(out); err != nil {
					t.Fatal(err)
				}
				return c.loss
			})
			nntest.Let(t, c.target, []float64{1, -2, 3, 1e3})
			nntest.Let(t, c.weight, []float64{.5, .25, .25, 0})
			l.CheckByCentralDifferences()
		})
	}
}

// surrogateLab is the actor's loss straight on logits of three actions, with the
// gradient of the policy part alone.
type surrogateLab struct {
	policy, entropy float64
	dLogits         []float64
}

func onLogits(t *testing.T, logits, oldLogits [][]float64, actions []int, advantage []float64) surrogateLab {
	t.Helper()
	rows, n := len(logits), len(logits[0])
	g := G.NewGraph()
	z := G.NewMatrix(g, tensor.Float64, G.WithShape(rows, n), G.WithName("logits"))
	a, err := newActorLoss(z, .2, 0)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := G.Grad(a.policy, z)
	if err != nil {
		t.Fatal(err)
	}
	var policy, entropy, grad G.Value
	G.Read(a.policy, &policy)
	G.Read(a.entropy, &entropy)
	G.Read(grads[0], &grad)

	flat, oneHot := make([]float64, 0, rows*n), make([]float64, rows*n)
	old, weight := make([]float64, rows), make([]float64, rows)
	for i := range rows {
		flat = append(flat, logits[i]...)
		oneHot[i*n+actions[i]] = 1
		sum := 0.0
		for _, v := range oldLogits[i] {
			sum += math.Exp(v)
		}
		old[i] = oldLogits[i][actions[i]] - math.Log(sum)
		weight[i] = 1 / float64(rows)
	}
	nntest.Let(t, z, flat)
	nntest.Let(t, a.action, oneHot)
	nntest.Let(t, a.oldLogProb, old)
	nntest.Let(t, a.advantage, advantage)
	nntest.Let(t, a.weight, weight)
	vm := G.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	return surrogateLab{policy.Data().(float64), entropy.Data().(float64), grad.Data().([]float64)}
}

// The numbers are rlax's, rlax/_src/policy_gradients_test.py.
func TestClippedSurrogatePublished(t *testing.T) {
	logits := [][]float64{{1, 1, 1}, {2, 0, 0}, {-1, -2, -3}}
	old := [][]float64{{1, 1, 1}, {2, 0, 0}, {-3, -2, -1}}
	actions := []int{0, 1, 2}
	for _, tc := range []struct{ sign, want float64 }{{1, -.171178}, {-1, .193333}} {
		got := onLogits(t, logits, old, actions, []float64{.3 * tc.sign, .2 * tc.sign, .1 * tc.sign})
		if math.Abs(got.policy-tc.want) > 1e-6 {
			t.Errorf("sign %v: loss %.7f, want %.6f", tc.sign, got.policy, tc.want)
		}
	}
	for i, want := range []float64{1.0986123, .6655727, .8323956} {
		got := onLogits(t, logits[i:i+1], old[i:i+1], actions[i:i+1], []float64{1})
		if math.Abs(got.entropy-want) > 1e-7 {
			t.Errorf("entropy of row %d is %.8f, want %.7f", i, got.entropy, want)
		}
	}
}

func TestGradientIsZeroWhereClipped(t *testing.T) {
	old := [][]float64{{0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}}
	logits := [][]float64{{1, 0}, {1, 0}, {-1, 0}, {-1, 0}, {.1, 0}}
	advantage := []float64{.7, -.7, -.7, .7, .7}
	clipped := []bool{true, false, true, false, false} // ratio above and paid for, below and fined for
	got := onLogits(t, logits, old, make([]int, 5), advantage)
	for i, want := range clipped {
		if g := got.dLogits[2*i]; (g == 0) != want {
			t.Errorf("row %d: gradient %g, want exactly 0: %v", i, g, want)
		}
	}
}

type actorSteps struct {
	Sizes      []int
	Padded     int
	Clip, Ent  float64
	Rate, Eps  float64
	MaxNorm    float64 `json:"max_norm"`
	Parameters [][]float32
	X          []float32
	Action     []int
	Advantage  []float32
	Old        []float32
	Steps      []struct {
		Loss, Policy, Entropy, Norm float64
		LogProb                     []float32 `json:"log_prob"`
		Gradients, Parameters       [][]float32
	}
}

// Three whole steps, the production programs and optimiser in float32 against
// NumPy in float64, with padding that must not matter.
func TestActorStepsAgainstNumPy(t *testing.T) {
	data, err := os.ReadFile("testdata/actor_steps.json")
	if err != nil {
		t.Fatal(err)
	}
	var f actorSteps
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	net := nn.NewNetwork("actor", f.Sizes, proxy.Tanh, rand.New(rand.NewPCG(1, 1)))
	for i, p := range net.Params {
		copy(p.Values, f.Parameters[i])
	}
	input, rows := nn.NewMinibatch(f.Padded, f.Sizes[0]), len(f.Action)
	p, err := newActorProgram(input, net, Options{ClipCoef: f.Clip, EntCoef: f.Ent})
	if err != nil {
		t.Fatal(err)
	}
	for i := range input.X {
		input.X[i] = 1e3 // below the rows: padding must not matter
	}
	copy(input.X, f.X)
	for i := range f.Padded {
		p.advantage[i], p.oldLogProb[i] = 1e3, -1
		p.action[2*i] = 1
	}
	clear(p.action[:2*rows])
	for i, a := range f.Action {
		p.action[2*i+a] = 1
	}
	copy(p.advantage, f.Advantage)
	copy(p.oldLogProb, f.Old)
	fillWeights(p.weight, rows)
	near := cmpopts.EquateApprox(1e-4, 2e-6)
	for s, want := range f.Steps {
		norm, err := p.Step("policy loss", f.Rate, f.Eps, f.MaxNorm)
		if err != nil {
			t.Fatal(err)
		}
		got := []float64{float64(*p.Loss), float64(*p.policy), float64(*p.entropy), norm}
		if diff := cmp.Diff([]float64{want.Loss, want.Policy, want.Entropy, want.Norm}, got, near); diff != "" {
			t.Errorf("step %d: loss, policy, entropy, norm (-want +got):\n%s", s, diff)
		}
		if diff := cmp.Diff(want.LogProb, p.logProb[:rows], near); diff != "" {
			t.Errorf("step %d: log-probabilities (-want +got):\n%s", s, diff)
		}
		for i, q := range net.Params {
			if diff := cmp.Diff(want.Gradients[i], q.Grads, near); diff != "" {
				t.Errorf("step %d: gradient of %s (-want +got):\n%s", s, q.Name, diff)
			}
			if diff := cmp.Diff(want.Parameters[i], q.Values, near); diff != "" {
				t.Errorf("step %d: %s (-want +got):\n%s", s, q.Name, diff)
			}
		}
	}
}
