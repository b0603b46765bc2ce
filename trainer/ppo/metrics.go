package ppo

import (
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// Metrics describe one update. Losses are means over the rows of all minibatches
// of all epochs, the KL estimates over the rows of the last epoch.
type Metrics struct {
	PolicyLoss float64 // the clipped surrogate, negated
	ValueLoss  float64 // half the squared error of the values
	Entropy    float64 // of the policy, nats
	// ApproxKL and OldApproxKL are Schulman's k3 and k1 of the policy that acted
	// against the one being trained.
	ApproxKL, OldApproxKL float64
	// ClipFrac is the share of rows whose ratio was outside 1 ± ClipCoef.
	ClipFrac float64
	// ExplainedVariance is 1 − Var(return − value)/Var(return) with the values
	// from before the update; 0 if the returns do not vary.
	ExplainedVariance float64
	// AdvantageMean and AdvantageStd are of the whole batch, before normalising.
	AdvantageMean, AdvantageStd float64
	// BehaviourGap is the largest |log ratio| in the first minibatch, before any
	// step. It says how far the policy that acted was from the one that is
	// trained: above rounding (about 1e-3 for a float16 or float32 server), the
	// batch was collected with another proxy or other statistics.
	BehaviourGap float64
	// ActorGradNorm and CriticGradNorm are mean norms before clipping.
	ActorGradNorm, CriticGradNorm float64
	// Grouped says that there was no critic: what is said of values is 0.
	Grouped bool
	// Decisions is the number of transitions, Epochs how many passes were made
	// over them, Steps how many minibatches that took.
	Decisions, Epochs, Steps int
}

// Map returns the metrics under the names of CleanRL, and in their manner where
// CleanRL has none.
func (m Metrics) Map() map[string]float64 {
	out := map[string]float64{
		"losses/policy_loss":     m.PolicyLoss,
		"losses/entropy":         m.Entropy,
		"losses/approx_kl":       m.ApproxKL,
		"losses/old_approx_kl":   m.OldApproxKL,
		"losses/clipfrac":        m.ClipFrac,
		"losses/advantage_mean":  m.AdvantageMean,
		"losses/advantage_std":   m.AdvantageStd,
		"losses/behaviour_gap":   m.BehaviourGap,
		"losses/actor_grad_norm": m.ActorGradNorm,
		"charts/decisions":       float64(m.Decisions),
		"charts/update_epochs":   float64(m.Epochs),
		"charts/minibatches":     float64(m.Steps),
	}
	if !m.Grouped {
		out["losses/value_loss"] = m.ValueLoss
		out["losses/explained_variance"] = m.ExplainedVariance
		out["losses/critic_grad_norm"] = m.CriticGradNorm
	}
	return out
}

// meter collects an update's metrics.
type meter struct {
	m         Metrics   // sums, until metrics divides them
	rows      float64   // rows of all minibatches so far
	logRatios []float64 // of the running epoch
}

func newMeter(b *batch) *meter {
	t := &meter{}
	t.m.Decisions = len(b.transitions)
	t.m.AdvantageMean, t.m.AdvantageStd = meanStd(b.advantages)
	errors := make([]float64, len(b.returns))
	for i := range errors {
		errors[i] = b.returns[i] - b.values[i]
	}
	_, residual := meanStd(errors)
	if _, total := meanStd(b.returns); total > 0 {
		t.m.ExplainedVariance = 1 - residual*residual/(total*total)
	}
	return t
}

func (t *meter) startEpoch() {
	t.m.Epochs++
	t.logRatios = t.logRatios[:0]
}

func (t *meter) approxKL() float64 { return rl.EstimateKL(t.logRatios).K3 }

// actor notes a minibatch from what its program read before the step.
func (t *meter) actor(p *actorProgram, rows int, clip, norm float64) {
	for i := range rows {
		lr := float64(p.logProb[i]) - float64(p.oldLogProb[i])
		t.logRatios = append(t.logRatios, lr)
		if math.Abs(math.Expm1(lr)) > clip {
			t.m.ClipFrac++
		}
		if t.m.Steps == 0 {
			t.m.BehaviourGap = max(t.m.BehaviourGap, math.Abs(lr))
		}
	}
	n := float64(rows)
	t.m.PolicyLoss += n * float64(*p.policy)
	t.m.Entropy += n * float64(*p.entropy)
	t.m.ActorGradNorm += norm
	t.rows += n
	t.m.Steps++
}

func (t *meter) critic(p *criticProgram, rows int, norm float64) {
	t.m.ValueLoss += float64(rows) * float64(*p.Loss)
	t.m.CriticGradNorm += norm
}

func (t *meter) metrics() Metrics {
	m := t.m
	m.PolicyLoss /= t.rows
	m.ValueLoss /= t.rows
	m.Entropy /= t.rows
	m.ClipFrac /= t.rows
	m.ActorGradNorm /= float64(m.Steps)
	m.CriticGradNorm /= float64(m.Steps)
	kl := rl.EstimateKL(t.logRatios)
	m.ApproxKL, m.OldApproxKL = kl.K3, kl.K1
	return m
}

// meanStd returns mean and population deviation.
func meanStd(x []float64) (mean, std float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += v / n
	}
	for _, v := range x {
		std += (v - mean) * (v - mean) / n
	}
	return mean, math.Sqrt(std)
}
