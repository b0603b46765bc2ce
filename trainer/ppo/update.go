package ppo

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// batch is all decisions of an update, flat, in the order they were made.
type batch struct {
	transitions []*rl.Transition
	values      []float64 // the critic's, before the update
	advantages  []float64
	returns     []float64
}

// Update takes the steps of one PPO update on a batch of whole episodes, all
// collected with the proxy that was exported last, and then adds their features
// to the statistics (see the package comment): export again before collecting
// the next batch.
//
// A batch that cannot be learnt from is refused before anything changes:
// [rl.ErrNoDecisions], or an error that names episode, transition and field. If a
// loss, a gradient or a weight is not finite, the update stops there with an
// error that names the tensor, and the agent should be restored from a state.
func (a *Agent) Update(episodes []rl.Episode) (Metrics, error) {
	m, err := a.update(episodes)
	if err != nil {
		return Metrics{}, fmt.Errorf("ppo: update %d: %w", a.Updates+1, err)
	}
	a.Updates++
	return m, nil
}

func (a *Agent) update(episodes []rl.Episode) (Metrics, error) {
	b, err := a.prepare(episodes)
	if err != nil {
		return Metrics{}, err
	}
	meter := newMeter(b)
	meter.m.Grouped = a.critic == nil
	order := make([]int, len(b.transitions))
	for i := range order {
		order[i] = i
	}
	rng := rand.New(a.Random)
	for epoch := range a.options.Epochs {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		meter.startEpoch()
		for _, rows := range cut(order, a.options.MinibatchSize) {
			if err := a.minibatch(b, rows, meter); err != nil {
				return Metrics{}, fmt.Errorf("epoch %d: %w", epoch+1, err)
			}
		}
		if a.options.TargetKL > 0 && meter.approxKL() > a.options.TargetKL {
			break
		}
	}
	for _, n := range a.networks() {
		if err := n.CheckWeights(); err != nil {
			return Metrics{}, err
		}
	}
	for _, t := range b.transitions {
		if err := a.Observe(t.Features); err != nil {
			return Metrics{}, err
		}
	}
	return meter.metrics(), nil
}

// prepare checks the episodes and computes values, advantages and returns.
func (a *Agent) prepare(episodes []rl.Episode) (*batch, error) {
	b := &batch{}
	for i := range episodes {
		e := &episodes[i]
		if err := e.Validate(a.InputLength()); err != nil {
			return nil, fmt.Errorf("episode %d: %w", i, err)
		}
		for j := range e.Transitions {
			b.transitions = append(b.transitions, &e.Transitions[j])
		}
	}
	if len(b.transitions) == 0 {
		return nil, rl.ErrNoDecisions
	}
	if a.critic == nil {
		b.values = make([]float64, len(b.transitions))
		b.advantages, b.returns = groupAdvantages(episodes, a.options.Gamma)
		return b, nil
	}
	var err error
	if b.values, err = a.values(b.transitions); err != nil {
		return nil, err
	}
	steps, err := rl.NewSteps(episodes, b.values)
	if err != nil {
		return nil, err
	}
	b.advantages, b.returns, err = steps.GAE(a.options.Gamma, a.options.GAELambda)
	return b, err
}

// values runs the critic over all transitions.
func (a *Agent) values(transitions []*rl.Transition) ([]float64, error) {
	order := make([]int, len(transitions))
	for i := range order {
		order[i] = i
	}
	values := make([]float64, 0, len(transitions))
	for _, rows := range cut(order, a.options.MinibatchSize) {
		a.fill(transitions, rows)
		if err := a.valuesOn.Run(); err != nil {
			return nil, err
		}
		for i, v := range a.valuesOn.Out[:len(rows)] {
			if v-v != 0 {
				return nil, a.critic.Blame(fmt.Sprintf("value of transition %d", rows[i]), v)
			}
			values = append(values, float64(v))
		}
	}
	return values, nil
}

// cut divides order into the fewest pieces of at most size, whose lengths differ
// by one at most.
func cut(order []int, size int) [][]int {
	n := (len(order) + size - 1) / size
	pieces := make([][]int, n)
	for i := range pieces {
		pieces[i] = order[i*len(order)/n : (i+1)*len(order)/n]
	}
	return pieces
}

// fill puts the standardised features of rows into the input of all programs and
// zeros below them.
func (a *Agent) fill(transitions []*rl.Transition, rows []int) {
	s, n, x := a.Standardiser(), a.InputLength(), a.input.X
	nn.Parallel(len(rows), 32, func(from, to int) {
		for i := from; i < to; i++ {
			s.Apply(x[i*n:(i+1)*n], transitions[rows[i]].Features)
		}
	})
	clear(x[len(rows)*n:])
}

// minibatch takes one step of the actor and one of the critic, if there is one.
func (a *Agent) minibatch(b *batch, rows []int, meter *meter) error {
	a.fill(b.transitions, rows)
	if err := a.actorStep(b, rows, meter); err != nil || a.critic == nil {
		return err
	}
	return a.criticStep(b, rows, meter)
}

func (a *Agent) actorStep(b *batch, rows []int, meter *meter) error {
	p := &a.actorOn
	p.fill(b, rows, a.options.NormAdv)
	norm, err := p.Step("policy loss", a.options.LearningRate, a.options.AdamEps, a.options.MaxGradNorm)
	if err != nil {
		return err
	}
	meter.actor(p, len(rows), a.options.ClipCoef, norm)
	return nil
}

func (a *Agent) criticStep(b *batch, rows []int, meter *meter) error {
	p := &a.criticOn
	p.fill(b, rows)
	norm, err := p.Step("value loss", a.options.CriticLearningRate, a.options.AdamEps, a.options.MaxGradNorm)
	if err != nil {
		return err
	}
	meter.critic(p, len(rows), norm)
	return nil
}

// fill sets the inputs of the first len(rows) rows and takes the weight off the
// others.
func (p *actorProgram) fill(b *batch, rows []int, normalise bool) {
	shift, scale := 0.0, 1.0
	if normalise {
		shift, scale = normalisation(b.advantages, rows)
	}
	clear(p.action)
	for i, r := range rows {
		t := b.transitions[r]
		p.action[2*i+int(t.Action-sampler.Accept)] = 1
		p.oldLogProb[i] = float32(t.LogProb)
		p.advantage[i] = float32((b.advantages[r] - shift) * scale)
	}
	clear(p.oldLogProb[len(rows):])
	clear(p.advantage[len(rows):])
	fillWeights(p.weight, len(rows))
}

func (p *criticProgram) fill(b *batch, rows []int) {
	for i, r := range rows {
		p.target[i] = float32(b.returns[r])
	}
	clear(p.target[len(rows):])
	fillWeights(p.weight, len(rows))
}

func fillWeights(w []float32, rows int) {
	for i := range w[:rows] {
		w[i] = 1 / float32(rows)
	}
	clear(w[rows:])
}

// normalisation returns what to subtract from and what to multiply the
// advantages of rows with: CleanRL's mean and 1/(deviation + 1e-8), the deviation
// that of a sample. A single row has none and stays as it is.
func normalisation(advantages []float64, rows []int) (shift, scale float64) {
	if len(rows) < 2 {
		return 0, 1
	}
	n := float64(len(rows))
	for _, r := range rows {
		shift += advantages[r] / n
	}
	variance := 0.0
	for _, r := range rows {
		variance += (advantages[r] - shift) * (advantages[r] - shift) / (n - 1)
	}
	return shift, 1 / (math.Sqrt(variance) + 1e-8)
}
