package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// State is a policy's part of its agent's state.
type State struct {
	Version     int
	InputLength int
	Updates     int64
	Features    rl.Running // statistics of the features
	Random      *rand.PCG
	Actor       nn.NetworkState
}

// State returns the policy's own memory, which changes with it, and no copy: encode
// it before the next update.
func (p *Policy) State() State {
	return State{
		Version:     p.Version,
		InputLength: p.InputLength(),
		Updates:     p.Updates,
		Features:    p.features,
		Random:      p.Random,
		Actor:       p.Actor.State(),
	}
}

// TensorData returns the numbers of the actor; see [nn.NetworkState.TensorData].
func (s State) TensorData() [][]float32 { return s.Actor.TensorData() }

// Fits returns an error that says why the policy cannot go on from s, which was of
// the networks n, or nil.
func (p *Policy) Fits(s State, n Networks) error {
	hidden := p.Actor.Sizes[1:p.Actor.Layers()]
	switch {
	case s.Version != p.Version:
		return fmt.Errorf("the state has version %d, this program reads %d", s.Version, p.Version)
	case s.InputLength != p.InputLength():
		return fmt.Errorf("the state is of %d features, the agent of %d", s.InputLength, p.InputLength())
	case !slices.Equal(n.HiddenSizes, hidden):
		return fmt.Errorf("the state has hidden sizes %v, the agent %v", n.HiddenSizes, hidden)
	case n.Activation != p.Actor.Activation:
		return fmt.Errorf("the state has activation %s, the agent %s", n.Activation, p.Actor.Activation)
	case s.Features.Count > 0 && (len(s.Features.Mean) != s.InputLength || len(s.Features.M2) != s.InputLength):
		return fmt.Errorf("the state has statistics of %d and %d features, want %d", len(s.Features.Mean), len(s.Features.M2), s.InputLength)
	case s.Random == nil:
		return errors.New("the state has no random generator")
	}
	return p.Actor.Fits(s.Actor)
}

// Restore makes the policy go on from s, which fits and is copied.
func (p *Policy) Restore(s State) {
	*p.Random, p.Updates = *s.Random, s.Updates
	p.features, p.standard = s.Features.Clone(), nil
	p.Actor.Restore(s.Actor)
}
