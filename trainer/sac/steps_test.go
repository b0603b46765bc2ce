package sac

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

type tensors [][]float32

// sacSteps is what testdata/sac_steps.py writes.
type sacSteps struct {
	Inputs                   int
	Hidden                   []int
	Batch                    int
	LR, Eps                  float64
	CriticLR                 float64 `json:"critic_lr"`
	MaxNorm                  float64 `json:"max_norm"`
	Gamma, Tau, Alpha, Scale float64
	Episodes                 [][]struct {
		Features []float32
		Action   int
		Reward   float64
		Token    int
	}
	Start map[string]tensors
	Steps []struct {
		Rows      []int64
		QF1       float64 `json:"qf1_loss"`
		QF2       float64 `json:"qf2_loss"`
		Actor     float64 `json:"actor_loss"`
		AlphaLoss float64 `json:"alpha_loss"`
		Entropy   float64
		Alpha     float64
	}
	End map[string]tensors
}

// Ten whole updates in float32 against PyTorch in float64: losses of every one, and
// the weights of all five networks at the end.
func TestUpdatesAgainstPyTorch(t *testing.T) {
	data, err := os.ReadFile("testdata/sac_steps.json")
	if err != nil {
		t.Fatal(err)
	}
	var f sacSteps
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.HiddenSizes, o.Activation, o.MinibatchSize = f.Hidden, proxy.Tanh, f.Batch
	o.LearningRate, o.CriticLearningRate, o.AdamEps, o.MaxGradNorm = f.LR, f.CriticLR, f.Eps, f.MaxNorm
	o.Gamma, o.Tau, o.Alpha, o.TargetEntropyScale = f.Gamma, f.Tau, f.Alpha, f.Scale
	a, err := New(f.Inputs, o, "")
	if err != nil {
		t.Fatal(err)
	}
	nets := map[string]*nn.Network{"actor": a.Actor, "q1": a.critics[0], "q2": a.critics[1], "t1": a.targets[0], "t2": a.targets[1]}
	for name, from := range map[string]string{"actor": "actor", "q1": "q1", "q2": "q2", "t1": "q1", "t2": "q2"} {
		for i, p := range nets[name].Params {
			copy(p.Values, f.Start[from][i])
		}
	}
	var episodes []rl.Episode
	for _, e := range f.Episodes {
		var out rl.Episode
		for _, d := range e {
			out.Transitions = append(out.Transitions, rl.Transition{
				Features: d.Features, Action: sampler.Accept + sampler.Action(d.Action), Reward: d.Reward, Token: d.Token,
			})
		}
		episodes = append(episodes, out)
	}
	if err := a.Add(episodes); err != nil {
		t.Fatal(err)
	}
	near := cmpopts.EquateApprox(1e-4, 1e-6)
	for i, want := range f.Steps {
		m := meter{}
		a.draw.numbers = want.Rows
		if err := a.learn(&m); err != nil {
			t.Fatal(err)
		}
		got := m.metrics(a)
		if diff := cmp.Diff(
			[]float64{want.QF1, want.QF2, want.Actor, want.AlphaLoss, want.Entropy, want.Alpha},
			[]float64{got.QF1Loss, got.QF2Loss, got.ActorLoss, got.AlphaLoss, got.Entropy, got.Alpha}, near); diff != "" {
			t.Errorf("update %d: losses of the critics, actor and temperature, entropy, alpha (-PyTorch +ours):\n%s", i+1, diff)
		}
	}
	for name, net := range nets {
		for i, p := range net.Params {
			if diff := cmp.Diff(f.End[name][i], p.Values, near); diff != "" {
				t.Errorf("%s: %s after ten updates (-PyTorch +ours):\n%s", name, p.Name, diff)
			}
		}
	}
}
