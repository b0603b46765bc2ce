package ppo

import (
	"fmt"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// stateVersion changes when an old state would continue differently.
const stateVersion = 1

// State is all of an agent between two updates. Encode it with encoding/gob. An
// agent restored from it goes on as the original would have, bit for bit, on the
// same machine, BLAS and number of BLAS threads.
type State struct {
	Version     int
	InputLength int
	Options     Options
	Updates     int64
	Features    rl.Running // statistics of the features
	Shuffling   []byte     // math/rand/v2's PCG, as it marshals itself
	Actor       NetworkState
	Critic      NetworkState
}

// NetworkState is one network with its optimiser.
type NetworkState struct {
	Steps   int64 // Adam's t
	Tensors []TensorState
}

// TensorState is one tensor with its moments, row-major. Weights are in × out,
// biases 1 × out.
type TensorState struct {
	Name             string // such as "0.weight"
	Rows, Cols       int
	Values           []float32
	Moment1, Moment2 []float32
}

// State returns a copy of the agent's state: 12 bytes for each parameter.
func (a *Agent) State() (State, error) {
	rng, err := a.shuffling.MarshalBinary()
	if err != nil {
		return State{}, fmt.Errorf("ppo: state: random generator: %w", err)
	}
	return State{
		Version:     stateVersion,
		InputLength: a.inputLength,
		Options:     a.Options(),
		Updates:     a.updates,
		Features:    a.features.Clone(),
		Shuffling:   rng,
		Actor:       a.actor.state(),
		Critic:      a.critic.state(),
	}, nil
}

// FromState returns an agent with the state's options that goes on from it.
func FromState(s State) (*Agent, error) {
	a, err := New(s.InputLength, s.Options)
	if err != nil {
		return nil, err
	}
	return a, a.Restore(s)
}

// Restore makes the agent go on from s, which is copied. The networks must have
// the same shape and activation; all other options stay the agent's own, so a run
// may be continued with another learning rate. On an error the agent is as before.
func (a *Agent) Restore(s State) error {
	if err := a.fits(s); err != nil {
		return fmt.Errorf("ppo: restore: %w", err)
	}
	shuffling := *a.shuffling
	if err := shuffling.UnmarshalBinary(s.Shuffling); err != nil {
		return fmt.Errorf("ppo: restore: random generator: %w", err)
	}
	*a.shuffling = shuffling
	a.updates, a.features, a.standard = s.Updates, s.Features.Clone(), nil
	a.actor.restore(s.Actor)
	a.critic.restore(s.Critic)
	return nil
}

func (a *Agent) fits(s State) error {
	switch {
	case s.Version != stateVersion:
		return fmt.Errorf("the state has version %d, this program reads %d", s.Version, stateVersion)
	case s.InputLength != a.inputLength:
		return fmt.Errorf("the state is of %d features, the agent of %d", s.InputLength, a.inputLength)
	case !slices.Equal(s.Options.HiddenSizes, a.options.HiddenSizes):
		return fmt.Errorf("the state has hidden sizes %v, the agent %v", s.Options.HiddenSizes, a.options.HiddenSizes)
	case s.Options.Activation != a.options.Activation:
		return fmt.Errorf("the state has activation %s, the agent %s", s.Options.Activation, a.options.Activation)
	case s.Features.Count > 0 && (len(s.Features.Mean) != a.inputLength || len(s.Features.M2) != a.inputLength):
		return fmt.Errorf("the state has statistics of %d and %d features, want %d", len(s.Features.Mean), len(s.Features.M2), a.inputLength)
	}
	if err := a.actor.fits(s.Actor); err != nil {
		return err
	}
	return a.critic.fits(s.Critic)
}

func (n *network) state() NetworkState {
	s := NetworkState{Steps: n.steps}
	for _, p := range n.params {
		shape := p.value.Shape()
		s.Tensors = append(s.Tensors, TensorState{
			Name: p.name, Rows: shape[0], Cols: shape[1],
			Values:  slices.Clone(p.values),
			Moment1: slices.Clone(p.moment1), Moment2: slices.Clone(p.moment2),
		})
	}
	return s
}

func (n *network) fits(s NetworkState) error {
	if len(s.Tensors) != len(n.params) {
		return fmt.Errorf("%s: the state has %d tensors, want %d", n.name, len(s.Tensors), len(n.params))
	}
	for i, p := range n.params {
		t, shape := &s.Tensors[i], p.value.Shape()
		if t.Name != p.name || t.Rows != shape[0] || t.Cols != shape[1] {
			return fmt.Errorf("%s: tensor %d of the state is %s, %d × %d, want %s, %d × %d", n.name, i, t.Name, t.Rows, t.Cols, p.name, shape[0], shape[1])
		}
		for _, v := range [][]float32{t.Values, t.Moment1, t.Moment2} {
			if len(v) != len(p.values) {
				return fmt.Errorf("%s: %s of the state has %d values, want %d", n.name, t.Name, len(v), len(p.values))
			}
			if i := firstNotFinite(v); i >= 0 {
				return fmt.Errorf("%s: %s of the state is %v at index %d, want finite numbers", n.name, t.Name, v[i], i)
			}
		}
	}
	return nil
}

func (n *network) restore(s NetworkState) {
	n.steps = s.Steps
	for i, p := range n.params {
		copy(p.values, s.Tensors[i].Values)
		copy(p.moment1, s.Tensors[i].Moment1)
		copy(p.moment2, s.Tensors[i].Moment2)
	}
}
