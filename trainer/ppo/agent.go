package ppo

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
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
	inputLength int
	options     Options
	actor       *nn.Network
	critic      *nn.Network // nil with groups

	features rl.Running       // statistics of the features, see the package comment
	standard *nn.Standardiser // made of features; nil when they changed

	x         *tensor.Dense // minibatch × inputLength: the input of every program
	actorOn   *actorProgram
	criticOn  *criticProgram
	valuesOn  *valueProgram
	shuffling *rand.PCG
	updates   int64
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
	sizes := func(outputs int) []int {
		return append(append([]int{inputLength}, o.HiddenSizes...), outputs)
	}
	stream := func(n uint64) *rand.PCG { return rand.NewPCG(o.Seed, n) }
	a := &Agent{
		inputLength: inputLength,
		options:     o,
		actor:       nn.NewNetwork("actor", sizes(2), o.Activation, rand.New(stream(streamActor))),
		x:           tensor.New(tensor.WithShape(o.MinibatchSize, inputLength), tensor.Of(tensor.Float32)),
		shuffling:   stream(streamShuffle),
	}
	a.options.HiddenSizes = append([]int(nil), o.HiddenSizes...)
	a.actor.Quieten(math.Log(o.InitialAccept), math.Log(1-o.InitialAccept))
	scratch := nn.Scratch{}
	var errs [3]error
	a.actorOn, errs[0] = newActorProgram(a.actor, a.x, scratch, o)
	if o.GroupSize == 0 {
		a.critic = nn.NewNetwork("critic", sizes(1), o.Activation, rand.New(stream(streamCritic)))
		a.critic.Quieten(0)
		a.critic.ShareGradients(a.actor)
		a.criticOn, errs[1] = newCriticProgram(a.critic, a.x, scratch)
		a.valuesOn, errs[2] = newValueProgram(a.critic, a.x, scratch)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("ppo: new agent: building the graphs: %w", err)
	}
	return a, nil
}

// Options returns the options that the agent was made with.
func (a *Agent) Options() Options {
	o := a.options
	o.HiddenSizes = append([]int(nil), o.HiddenSizes...)
	return o
}

// InputLength is the number of features.
func (a *Agent) InputLength() int { return a.inputLength }

// Updates is the number of updates so far, of all runs that the state went through.
func (a *Agent) Updates() int64 { return a.updates }

// Observe adds one vector of features to the statistics that features are
// standardised with. It changes the policy: call it before the first export and
// not between collecting a batch and updating on it. Update observes its own
// batch.
func (a *Agent) Observe(features []float32) error {
	if len(features) != a.inputLength {
		return fmt.Errorf("ppo: observe: %d features, want %d", len(features), a.inputLength)
	}
	if i := nn.FirstNotFinite(features); i >= 0 {
		return fmt.Errorf("ppo: observe: feature %d is %v, want a finite number", i, features[i])
	}
	a.standard = nil
	return a.features.Push(features)
}

// Accept returns pi(accept) for features as the server sends them, not
// standardised. It runs in plain float64 loops, one vector at a time: for tests
// and spot checks. It panics if the number of features is wrong.
func (a *Agent) Accept(features []float32) float64 {
	z := a.actor.Forward(a.standardiser().Row(features))
	return 1 / (1 + math.Exp(z[1]-z[0]))
}

// Value returns what the critic expects the rewards of a reply to add up to,
// discounted, from a decision with these features on. As [Agent.Accept], it is
// for tests and spot checks. It panics if there is no critic.
func (a *Agent) Value(features []float32) float64 {
	return a.critic.Forward(a.standardiser().Row(features))[0]
}

// networks are those that there are.
func (a *Agent) networks() []*nn.Network {
	if a.critic == nil {
		return []*nn.Network{a.actor}
	}
	return []*nn.Network{a.actor, a.critic}
}

func (a *Agent) standardiser() *nn.Standardiser {
	if a.standard == nil {
		a.standard = nn.NewStandardiser(a.inputLength, &a.features)
	}
	return a.standard
}
