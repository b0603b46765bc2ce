package ppo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/policy"
)

// The streams of Options.Seed: one seed, independent draws.
const (
	streamActor = iota + 1
	streamCritic
	streamShuffle
)

// Agent is a policy, its critic and all that training them takes. Make one with
// [New] or [FromState]. It is not for concurrent use.
//
// At n parameters in both networks together it holds 14n bytes: weights, Adam's
// two moments, and the gradients of one network at a time; and one minibatch's
// features and activations.
type Agent struct {
	policy.Policy
	options Options
	critic  *nn.Network // nil with groups

	input    *nn.Minibatch
	actorOn  actorProgram
	criticOn criticProgram
	valuesOn nn.Forward
}

// New returns an untrained agent for features of inputLength values (the
// proxy's: d, or 2d for prefix features). Equal options give equal weights.
func New(inputLength int, o Options) (*Agent, error) {
	if inputLength < 1 {
		return nil, fmt.Errorf("ppo: new agent: input length is %d, want 1 or more", inputLength)
	}
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("ppo: new agent: %w", err)
	}
	a := &Agent{
		Policy: policy.Policy{
			Algorithm: "ppo",
			Version:   stateVersion,
			Actor:     o.NewActor(inputLength, o.InitialAccept, rand.NewPCG(o.Seed, streamActor)),
			Random:    rand.NewPCG(o.Seed, streamShuffle),
		},
		options: o,
		input:   nn.NewMinibatch(o.MinibatchSize, inputLength),
	}
	a.options = a.Options() // of its own
	var errs [3]error
	a.actorOn, errs[0] = newActorProgram(a.input, a.Actor, o)
	if o.GroupSize == 0 {
		a.critic = o.NewCritic("critic", 1, a.Actor, rand.NewPCG(o.Seed, streamCritic))
		a.criticOn, errs[1] = newCriticProgram(a.input, a.critic)
		a.valuesOn, errs[2] = a.input.Forward(a.critic)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("ppo: new agent: building the graphs: %w", err)
	}
	return a, nil
}

// Options returns the options that the agent was made with.
func (a *Agent) Options() Options {
	o := a.options
	o.HiddenSizes = slices.Clone(o.HiddenSizes)
	return o
}

// Value returns what the critic expects the rewards of a reply to add up to,
// discounted, from a decision with these features on. As [policy.Policy.Accept], it is
// for tests and spot checks. It panics if there is no critic.
func (a *Agent) Value(features []float32) float64 {
	return a.critic.Forward(a.Standardiser().Row(features))[0]
}

// networks are those that there are.
func (a *Agent) networks() []*nn.Network {
	if a.critic == nil {
		return []*nn.Network{a.Actor}
	}
	return []*nn.Network{a.Actor, a.critic}
}
