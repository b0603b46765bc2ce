package ppo

import (
	"fmt"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/policy"
)

// stateVersion changes when an old state would continue differently.
const stateVersion = 2

// State is all of an agent between two updates. Encode it with run.Encode. An
// agent restored from it goes on as the original would have, bit for bit, on the
// same machine, BLAS and number of BLAS threads.
type State struct {
	policy.State
	Options Options
	Critic  nn.NetworkState // empty with groups
}

// State returns the agent's own memory, which changes with it, and no copy: encode it
// before the next update.
func (a *Agent) State() State {
	s := State{State: a.Policy.State(), Options: a.Options()}
	if a.critic != nil {
		s.Critic = a.critic.State()
	}
	return s
}

// TensorData returns the numbers of both networks; see [nn.NetworkState.TensorData].
func (s State) TensorData() [][]float32 {
	return append(s.State.TensorData(), s.Critic.TensorData()...)
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
	a.Policy.Restore(s.State)
	if a.critic != nil {
		a.critic.Restore(s.Critic)
	}
	return nil
}

func (a *Agent) fits(s State) error {
	if err := a.Policy.Fits(s.State, s.Options.Networks); err != nil {
		return err
	}
	if have, want := len(s.Critic.Tensors) > 0, a.critic != nil; have != want {
		return fmt.Errorf("the state has a critic: %v, the agent: %v; leave group_size as it was", have, want)
	}
	if a.critic == nil {
		return nil
	}
	return a.critic.Fits(s.Critic)
}
