package sac

import (
	"fmt"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/replay"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// stateVersion changes when an old state would continue differently.
const stateVersion = 1

// State is all of an agent between two calls, but for the decisions, which lie in
// the file of the buffer. Encode it with encoding/gob. An agent restored from it
// goes on as the original would have, bit for bit, on the same machine, BLAS and
// number of BLAS threads.
type State struct {
	Version     int
	InputLength int
	Options     Options
	Updates     int64
	Due         int64
	Features    rl.Running // statistics of the features
	Sampling    []byte     // math/rand/v2's PCG, as it marshals itself
	Buffer      replay.State
	Actor       nn.NetworkState
	Critics     []nn.NetworkState
	Targets     []nn.NetworkState
	Temperature nn.NetworkState
}

// State returns a copy of the agent's state. It writes the buffer's file out; see
// [replay.Ring.State] for how long it can be gone back to.
func (a *Agent) State() (State, error) {
	rng, err := a.sampling.MarshalBinary()
	if err != nil {
		return State{}, fmt.Errorf("sac: state: random generator: %w", err)
	}
	s := State{
		Version:     stateVersion,
		InputLength: a.inputLength,
		Options:     a.Options(),
		Updates:     a.updates,
		Due:         a.due,
		Features:    a.features.Clone(),
		Sampling:    rng,
		Actor:       a.actor.State(),
		Temperature: a.temperature.log.State(),
	}
	for i := range a.critics {
		s.Critics = append(s.Critics, a.critics[i].State())
		s.Targets = append(s.Targets, a.targets[i].State())
	}
	if s.Buffer, err = a.buffer.State(); err != nil {
		return State{}, fmt.Errorf("sac: state: %w", err)
	}
	return s, nil
}

// Restore makes the agent go on from s, which is copied, and from the file that the
// agent was made with. The networks must have the same shape and activation and the
// buffer the same size; all other options stay the agent's own. On an error the
// agent is as before.
func (a *Agent) Restore(s State) error {
	if err := a.restore(s, true); err != nil {
		return fmt.Errorf("sac: restore: %w", err)
	}
	return nil
}

// PolicyFromState returns an agent with the state's policy and critics and without
// the decisions that they were learnt from: for [Agent.Proxy], and not for going on.
func PolicyFromState(s State) (*Agent, error) {
	o := s.Options
	o.BufferSpill = false // there is nothing to spill, and nowhere
	a, err := New(s.InputLength, o, "")
	if err != nil {
		return nil, err
	}
	if err := a.restore(s, false); err != nil {
		return nil, fmt.Errorf("sac: policy of a state: %w", err)
	}
	return a, nil
}

func (a *Agent) restore(s State, buffer bool) error {
	if err := a.fits(s); err != nil {
		return err
	}
	sampling := *a.sampling
	if err := sampling.UnmarshalBinary(s.Sampling); err != nil {
		return fmt.Errorf("random generator: %w", err)
	}
	if buffer {
		if err := a.buffer.Restore(s.Buffer); err != nil {
			return err
		}
	}
	*a.sampling = sampling
	a.updates, a.due = s.Updates, s.Due
	a.features, a.standard = s.Features.Clone(), nil
	a.actor.Restore(s.Actor)
	a.temperature.log.Restore(s.Temperature)
	for i := range a.critics {
		a.critics[i].Restore(s.Critics[i])
		a.targets[i].Restore(s.Targets[i])
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
	case len(s.Critics) != len(a.critics) || len(s.Targets) != len(a.targets):
		return fmt.Errorf("the state has %d critics and %d targets, want %d of each", len(s.Critics), len(s.Targets), len(a.critics))
	case s.Due < 0:
		return fmt.Errorf("the state has %d updates due, want 0 or more", s.Due)
	}
	for i := range a.critics {
		if err := a.critics[i].Fits(s.Critics[i]); err != nil {
			return err
		}
		if err := a.targets[i].Fits(s.Targets[i]); err != nil {
			return err
		}
	}
	if err := a.temperature.log.Fits(s.Temperature); err != nil {
		return err
	}
	return a.actor.Fits(s.Actor)
}
