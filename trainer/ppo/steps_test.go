package ppo

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// ppoSteps is what testdata/ppo_steps.py writes.
type ppoSteps struct {
	Inputs, Size            int
	Hidden                  []int
	LR, Eps, Clip, Ent      float64
	CriticLR                float64 `json:"critic_lr"`
	MaxNorm                 float64 `json:"max_norm"`
	X                       [][]float32
	Action                  []int
	Old, Advantage, Returns []float64
	Start, End              map[string][][]float32
	Steps                   []struct {
		Rows                   []int
		Policy, Value, Entropy float64
		ActorNorm              float64 `json:"actor_norm"`
		CriticNorm             float64 `json:"critic_norm"`
	}
}

// Ten whole minibatches in float32 against PyTorch in float64: losses and norms of
// every one, and the weights of both networks at the end.
func TestMinibatchesAgainstPyTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/ppo_steps.json")
	if err != nil {
		t.Fatal(err)
	}
	var f ppoSteps
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.HiddenSizes, o.Activation, o.MinibatchSize = f.Hidden, proxy.SiLU, f.Size
	o.LearningRate, o.CriticLearningRate, o.AdamEps, o.MaxGradNorm = f.LR, f.CriticLR, f.Eps, f.MaxNorm
	o.ClipCoef, o.EntCoef = f.Clip, f.Ent
	a, err := New(f.Inputs, o)
	if err != nil {
		t.Fatal(err)
	}
	nets := map[string]*nn.Network{"actor": a.Actor, "critic": a.critic}
	for name, net := range nets {
		for i, p := range net.Params {
			copy(p.Values, f.Start[name][i])
		}
	}
	b := &batch{advantages: f.Advantage, returns: f.Returns, values: make([]float64, len(f.X))}
	for i, x := range f.X {
		b.transitions = append(b.transitions, &rl.Transition{
			Features: x, Action: sampler.Accept + sampler.Action(f.Action[i]), LogProb: f.Old[i],
		})
	}
	near := cmpopts.EquateApprox(1e-4, 1e-6)
	for i, want := range f.Steps {
		m := newMeter(b)
		m.startEpoch()
		if err := a.minibatch(b, want.Rows, m); err != nil {
			t.Fatal(err)
		}
		got := m.metrics()
		if diff := cmp.Diff(
			[]float64{want.Policy, want.Value, want.Entropy, want.ActorNorm, want.CriticNorm},
			[]float64{got.PolicyLoss, got.ValueLoss, got.Entropy, got.ActorGradNorm, got.CriticGradNorm}, near); diff != "" {
			t.Errorf("minibatch %d: policy and value loss, entropy, norms (-PyTorch +ours):\n%s", i+1, diff)
		}
	}
	for name, net := range nets {
		for i, p := range net.Params {
			if diff := cmp.Diff(f.End[name][i], p.Values, near); diff != "" {
				t.Errorf("%s: %s after ten minibatches (-PyTorch +ours):\n%s", name, p.Name, diff)
			}
		}
	}
}
