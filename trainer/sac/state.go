package sac

import (
	"fmt"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/policy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/replay"
)

// stateVersion changes when an old state would continue differently.
const stateVersion = 2

// State is all of an agent between two calls, but for the decisions, which lie in
// the file of the buffer. Encode it with run.Encode. An agent restored from it
// goes on as the original would have, bit for bit, on the same machine, BLAS and
// number of BLAS threads.
type State struct {
	policy.State
	Options     Options
	Due         int64
	Buffer      replay.State
	Critics     []nn.NetworkState
	Targets     []nn.NetworkState
	Temperature nn.NetworkState
}

// State returns the agent's own memory, which changes with it, and no copy: encode it
// before the next call. It writes the buffer's file out; see [replay.Ring.State] for
// how long it can be gone back to.
func (a *Agent) State() (State, error) {
	s := State{State: a.Policy.State(), Options: a.Options(), Due: a.due, Temperature: a.temperature.log.State()}
	for i := range a.critics {
		s.Critics = append(s.Critics, a.critics[i].State())
		s.Targets = append(s.Targets, a.targets[i].State())
	}
	var err error
	if s.Buffer, err = a.buffer.State(); err != nil {
		return State{}, fmt.Errorf("sac: state: %w", err)
	}
	return s, nil
}

// TensorData returns the numbers of all networks; see [nn.NetworkState.TensorData].
func (s State) TensorData() [][]float32 {
	data := append(s.State.TensorData(), s.Temperature.TensorData()...)
	for _, n := range slices.Concat(s.Critics, s.Targets) {
		data = append(data, n.TensorData()...)
	}
	return data
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
// the decisions that they were learnt from: for [policy.Policy.Proxy], and not for going on.
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
	if buffer {
		if err := a.buffer.Restore(s.Buffer); err != nil {
			return err
		}
	}
	a.Policy.Restore(s.State)
	a.due = s.Due
	a.temperature.log.Restore(s.Temperature)
	for i := range a.critics {
		a.critics[i].Restore(s.Critics[i])
		a.targets[i].Restore(s.Targets[i])
	}
	return nil
}

func (a *Agent) fits(s State) error {
	if err := a.Policy.Fits(s.State, s.Options.Networks); err != nil {
		return err
	}
	switch {
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
	return a.temperature.log.Fits(s.Temperature)
}
