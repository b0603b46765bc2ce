package sac

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/replay"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// Add puts whole episodes into the buffer and their features into the statistics,
// and makes updates due. Episodes that cannot be learnt from are refused before
// anything changes, with an error that names episode, transition and field;
// [rl.ErrNoDecisions] if there is nothing in any. After an error of the buffer the
// agent should be restored from a state.
func (a *Agent) Add(episodes []rl.Episode) error {
	decisions := 0
	for i := range episodes {
		if err := episodes[i].Validate(a.InputLength()); err != nil {
			return fmt.Errorf("sac: add: episode %d: %w", i, err)
		}
		decisions += len(episodes[i].Transitions)
	}
	if decisions == 0 {
		return fmt.Errorf("sac: add: %w", rl.ErrNoDecisions)
	}
	for i := range episodes {
		if err := a.buffer.Add(&episodes[i]); err != nil {
			return fmt.Errorf("sac: add: episode %d: %w", i, err)
		}
		for j := range episodes[i].Transitions {
			if err := a.Observe(episodes[i].Transitions[j].Features); err != nil {
				return err
			}
		}
	}
	if a.buffer.Len() >= a.options.LearningStarts {
		a.due += int64(len(episodes)) * int64(a.options.UpdatesPerEpisode)
	}
	return nil
}

// Update makes the updates that are due, and returns metrics of none if there are
// none. When ctx is cancelled it stops between two updates with ctx's error. If a
// loss, a gradient or a weight is not finite it stops there with an error that names
// the tensor. After an error the agent should be restored from a state.
func (a *Agent) Update(ctx context.Context) (Metrics, error) {
	m := meter{}
	for ; a.due > 0; a.due-- {
		if err := ctx.Err(); err != nil {
			return Metrics{}, err
		}
		a.sample()
		if err := a.learn(&m); err != nil {
			return Metrics{}, fmt.Errorf("sac: update %d: %w", a.Updates+1, err)
		}
		a.Updates++
	}
	for _, n := range a.networks() {
		if err := n.CheckWeights(); err != nil {
			return Metrics{}, fmt.Errorf("sac: update %d: %w", a.Updates, err)
		}
	}
	return m.metrics(a), nil
}

// draw is one minibatch without its features.
type draw struct {
	numbers   []int64
	decisions []replay.Decision
	targets   []float64 // y
}

func newDraw(n int) draw {
	return draw{make([]int64, n), make([]replay.Decision, n), make([]float64, n)}
}

// learn makes the package comment's one update, from the decisions drawn.
func (a *Agent) learn(m *meter) error {
	if err := a.computeTargets(); err != nil {
		return err
	}
	if err := a.fill(false); err != nil {
		return err
	}
	for i := range a.critics {
		if err := a.criticStep(i, m); err != nil {
			return err
		}
	}
	if err := a.actorStep(m); err != nil {
		return err
	}
	for i, t := range a.targets {
		t.Follow(a.critics[i], a.options.Tau)
	}
	m.updates++
	return nil
}

// sample draws decisions from the buffer, each as likely as any other.
func (a *Agent) sample() {
	rng := rand.New(a.Random)
	for i := range a.draw.numbers {
		a.draw.numbers[i] = a.buffer.Oldest() + rng.Int64N(int64(a.buffer.Len()))
	}
}

// fill puts the standardised features of the decisions drawn, or those of the
// decisions after them, into the input of all programs.
func (a *Agent) fill(next bool) error {
	s, n, x := a.Standardiser(), a.InputLength(), a.programs.input.X
	errs := make([]error, len(a.draw.numbers))
	nn.Parallel(len(errs), 32, func(from, to int) {
		for i := from; i < to; i++ {
			row := x[i*n : (i+1)*n]
			if next {
				a.draw.decisions[i], errs[i] = a.buffer.Read(a.draw.numbers[i], nil, row)
			} else {
				_, errs[i] = a.buffer.Read(a.draw.numbers[i], row, nil)
			}
			s.Apply(row, row)
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// computeTargets reads the decisions drawn and computes y of each.
func (a *Agent) computeTargets() error {
	if err := a.fill(true); err != nil {
		return err
	}
	p := &a.programs
	for _, f := range []nn.Forward{p.next, p.nextQ[0], p.nextQ[1]} {
		if err := f.Run(); err != nil {
			return err
		}
		if i := nn.FirstNotFinite(f.Out); i >= 0 {
			return f.Net.Blame("output", f.Out[i])
		}
	}
	alpha := a.temperature.alpha()
	for i, d := range a.draw.decisions {
		at := i * actions
		a.draw.targets[i] = d.Reward
		if !d.Last {
			v := softValue(p.next.Out[at:at+actions], p.nextQ[0].Out[at:], p.nextQ[1].Out[at:], alpha)
			a.draw.targets[i] += math.Pow(a.options.Gamma, float64(d.Tokens)) * v
		}
	}
	return nil
}

// softValue is V(s) = Σ_a π(a|s) (min_i Q_i(s,a) − α log π(a|s)), π the softmax of
// the logits.
func softValue(logits, q1, q2 []float32, alpha float64) float64 {
	sum, top := 0.0, math.Inf(-1)
	for _, z := range logits {
		top = max(top, float64(z))
	}
	for _, z := range logits {
		sum += math.Exp(float64(z) - top)
	}
	v := 0.0
	for i, z := range logits {
		logProb := float64(z) - top - math.Log(sum)
		v += math.Exp(logProb) * (float64(min(q1[i], q2[i])) - alpha*logProb)
	}
	return v
}

func (a *Agent) criticStep(i int, m *meter) error {
	p := &a.programs.criticsOn[i]
	clear(p.action)
	for j, d := range a.draw.decisions {
		p.action[actions*j+int(d.Action-sampler.Accept)] = 1
		p.target[j] = float32(a.draw.targets[j])
	}
	norm, err := p.Step("loss", a.options.CriticLearningRate, a.options.AdamEps, a.options.MaxGradNorm)
	if err != nil {
		return err
	}
	m.critic(i, p, norm)
	return nil
}

// actorStep updates the actor and then the temperature, with the entropy from before
// the step.
func (a *Agent) actorStep(m *meter) error {
	p := &a.programs.actorOn
	for _, q := range a.programs.q {
		if err := q.Run(); err != nil {
			return err
		}
	}
	for i := range p.minQ {
		p.minQ[i] = min(a.programs.q[0].Out[i], a.programs.q[1].Out[i])
	}
	fill(p.alpha, float32(a.temperature.alpha()))
	norm, err := p.Step("loss", a.options.LearningRate, a.options.AdamEps, a.options.MaxGradNorm)
	if err != nil {
		return err
	}
	entropy, target := meanEntropy(p.logProb), a.options.TargetEntropyScale*math.Log(actions)
	m.actor(p, entropy, a.temperature.loss(entropy, target), norm)
	if !a.options.Autotune {
		return nil
	}
	return a.temperature.step(entropy, target, a.options.CriticLearningRate, a.options.AdamEps)
}

// meanEntropy is that of the policies of all rows, in nats.
func meanEntropy(logProb []float32) float64 {
	sum := 0.0
	for _, lp := range logProb {
		sum -= math.Exp(float64(lp)) * float64(lp)
	}
	return sum / float64(len(logProb)/actions)
}
