package ppo

import (
	"fmt"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
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
	Actor       nn.NetworkState
	Critic      nn.NetworkState // empty with groups
}

// State returns a copy of the agent's state: 12 bytes for each parameter.
func (a *Agent) State() (State, error) {
	rng, err := a.shuffling.MarshalBinary()
	if err != nil {
		return State{}, fmt.Errorf("ppo: state: random generator: %w", err)
	}
	s := State{
		Version:     stateVersion,
		InputLength: a.inputLength,
		Options:     a.Options(),
		Updates:     a.updates,
		Features:    a.features.Clone(),
		Shuffling:   rng,
		Actor:       a.actor.State(),
	}
	if a.critic != nil {
		s.Critic = a.critic.State()
	}
	return s, nil
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
	a.actor.Restore(s.Actor)
	if a.critic != nil {
		a.critic.Restore(s.Critic)
	}
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
	if have, want := len(s.Critic.Tensors) > 0, a.critic != nil; have != want {
		return fmt.Errorf("the state has a critic: %v, the agent: %v; leave group_size as it was", have, want)
	}
	if err := a.actor.Fits(s.Actor); err != nil || a.critic == nil {
		return err
	}
	return a.critic.Fits(s.Critic)
}
