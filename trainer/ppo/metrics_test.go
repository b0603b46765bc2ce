package ppo

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	G "gorgonia.org/gorgonia"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// The metrics are CleanRL's formulas, on numbers worked out by hand: two minibatches of an epoch, of two and of four rows.
func TestMeter(t *testing.T) {
	m := newMeter(&batch{
		transitions: make([]*rl.Transition, 6),
		advantages:  []float64{1, 2, 3, 4, 5, 6},
		returns:     []float64{1, 2, 3, 4, 5, 6},
		values:      []float64{1, 2, 3, 4, 5, 3}, // errors 0, 0, 0, 0, 0, 3: variance 1.25; that of the returns is 35/12
	})
	f := func(x float32) *G.F32 { v := G.F32(x); return &v }
	m.startEpoch()
	// Ratios 1.5, 0.5; 1.1, 0.9, 1.25, 1.
	for _, b := range []struct {
		ratios          []float64
		policy, entropy float32
		norm            float64
	}{
		{[]float64{1.5, 0.5}, -1, 0.25, 2},
		{[]float64{1.1, 0.9, 1.25, 1}, 0.5, 0.5, 4},
	} {
		p := &actorProgram{policy: f(b.policy), entropy: f(b.entropy)}
		for _, r := range b.ratios {
			p.logProb, p.oldLogProb = append(p.logProb, float32(math.Log(r)-1)), append(p.oldLogProb, -1)
		}
		m.actor(p, len(b.ratios), 0.2, b.norm)
		m.critic(&criticProgram{Program: nn.Program{Loss: f(b.policy * b.policy)}}, len(b.ratios), b.norm)
	}
	var k1, k3 float64
	for _, r := range []float64{1.5, 0.5, 1.1, 0.9, 1.25, 1} {
		k1 -= math.Log(r) / 6
		k3 += (r - 1 - math.Log(r)) / 6
	}
	want := map[string]float64{
		"losses/policy_loss": 0, "losses/value_loss": 0.5, "losses/entropy": 2.5 / 6,
		"losses/approx_kl": k3, "losses/old_approx_kl": k1, "losses/clipfrac": 3.0 / 6,
		"losses/explained_variance": 1 - 1.25/(35.0/12), "losses/advantage_mean": 3.5, "losses/advantage_std": math.Sqrt(35.0 / 12),
		"losses/behaviour_gap": math.Ln2, "losses/actor_grad_norm": 3, "losses/critic_grad_norm": 3,
		"charts/decisions": 6, "charts/update_epochs": 1, "charts/minibatches": 2,
	}
	if d := cmp.Diff(want, m.metrics().Map(), cmpopts.EquateApprox(0, 1e-6)); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
}

// Returns that do not vary have nothing to explain.
func TestExplainedVarianceOfConstantReturns(t *testing.T) {
	m := newMeter(&batch{returns: []float64{2, 2}, values: []float64{1, 3}, advantages: []float64{0, 0}})
	if m.m.ExplainedVariance != 0 {
		t.Errorf("explained variance %g, want 0", m.m.ExplainedVariance)
	}
}
