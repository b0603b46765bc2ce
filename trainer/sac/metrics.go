package sac

// Metrics describe the updates of one call of [Agent.Update], as means over them.
type Metrics struct {
	QF1Loss, QF2Loss     float64 // mean squared errors of the critics
	QF1Values, QF2Values float64 // of the decisions that were taken
	ActorLoss            float64
	Entropy              float64 // of the policy, nats
	Alpha                float64 // after the updates
	AlphaLoss            float64
	// ActorGradNorm and CriticGradNorm are norms before clipping, the latter of the
	// mean critic.
	ActorGradNorm, CriticGradNorm float64
	Updates                       int // how many there were
	BufferSize                    int // decisions in the buffer
}

// Map returns the metrics under the names of CleanRL, and in their manner where
// CleanRL has none. Without updates only the counts are there.
func (m Metrics) Map() map[string]float64 {
	out := map[string]float64{
		"charts/updates":     float64(m.Updates),
		"charts/buffer_size": float64(m.BufferSize),
		"losses/alpha":       m.Alpha,
	}
	if m.Updates == 0 {
		return out
	}
	for name, v := range map[string]float64{
		"losses/qf1_loss":         m.QF1Loss,
		"losses/qf2_loss":         m.QF2Loss,
		"losses/qf_loss":          (m.QF1Loss + m.QF2Loss) / 2,
		"losses/qf1_values":       m.QF1Values,
		"losses/qf2_values":       m.QF2Values,
		"losses/actor_loss":       m.ActorLoss,
		"losses/entropy":          m.Entropy,
		"losses/alpha_loss":       m.AlphaLoss,
		"losses/actor_grad_norm":  m.ActorGradNorm,
		"losses/critic_grad_norm": m.CriticGradNorm,
	} {
		out[name] = v
	}
	return out
}

// meter adds metrics up.
type meter struct {
	loss, value    [2]float64
	actorLoss      float64
	entropy        float64
	alphaLoss      float64
	actorGradNorm  float64
	criticGradNorm float64
	updates        int
}

func (t *meter) critic(i int, p *criticProgram, norm float64) {
	sum := 0.0
	for _, v := range p.value {
		sum += float64(v)
	}
	t.loss[i] += float64(*p.Loss)
	t.value[i] += sum / float64(len(p.value))
	t.criticGradNorm += norm / 2
}

func (t *meter) actor(p *actorProgram, entropy, alphaLoss, norm float64) {
	t.actorLoss += float64(*p.Loss)
	t.entropy += entropy
	t.alphaLoss += alphaLoss
	t.actorGradNorm += norm
}

func (t *meter) metrics(a *Agent) Metrics {
	n := float64(max(t.updates, 1))
	return Metrics{
		QF1Loss: t.loss[0] / n, QF2Loss: t.loss[1] / n,
		QF1Values: t.value[0] / n, QF2Values: t.value[1] / n,
		ActorLoss: t.actorLoss / n, Entropy: t.entropy / n,
		Alpha: a.temperature.alpha(), AlphaLoss: t.alphaLoss / n,
		ActorGradNorm: t.actorGradNorm / n, CriticGradNorm: t.criticGradNorm / n,
		Updates: t.updates, BufferSize: a.buffer.Len(),
	}
}
