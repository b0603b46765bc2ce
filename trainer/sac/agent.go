package sac

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/policy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/replay"
)

// The streams of Options.Seed: one seed, independent draws.
const (
	streamActor = iota + 1
	streamCritic1
	streamCritic2
	streamSampling
)

// Agent is a policy, its critics with their targets, the buffer of decisions and all
// that training them takes. Make one with [New]. It is not for concurrent use.
//
// At n parameters in one network it holds 48n bytes beside the buffer: five networks'
// weights, Adam's two moments for three of them, and the gradient of one at a time;
// and one minibatch's features and activations.
type Agent struct {
	policy.Policy
	options     Options
	critics     [2]*nn.Network
	targets     [2]*nn.Network
	temperature temperature
	buffer      *replay.Ring

	programs programs
	draw     draw
	due      int64
}

// programs are the graphs of an update, in the order in which they run. Their input
// is the states after the decisions first and then their own.
type programs struct {
	input     *nn.Minibatch
	next      nn.Forward
	nextQ     [2]nn.Forward // the targets'
	criticsOn [2]criticProgram
	q         [2]nn.Forward
	actorOn   actorProgram
}

// New returns an untrained agent for features of inputLength values (the proxy's: d,
// or 2d for prefix features). Equal options give equal weights. Decisions are
// written to the file path too; without one, the agent's state cannot be restored.
// Close the agent to close the file.
func New(inputLength int, o Options, path string) (*Agent, error) {
	a, err := newAgent(inputLength, o, path)
	if err != nil {
		return nil, fmt.Errorf("sac: new agent: %w", err)
	}
	return a, nil
}

func newAgent(inputLength int, o Options, path string) (*Agent, error) {
	if inputLength < 1 {
		return nil, fmt.Errorf("input length is %d, want 1 or more", inputLength)
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	a := &Agent{
		Policy: policy.Policy{
			Algorithm: "sac",
			Version:   stateVersion,
			Actor:     o.NewActor(inputLength, o.InitialAccept, rand.NewPCG(o.Seed, streamActor)),
			Random:    rand.NewPCG(o.Seed, streamSampling),
		},
		options:     o,
		temperature: newTemperature(o.Alpha),
		draw:        newDraw(o.MinibatchSize),
	}
	a.options = a.Options() // of its own
	for i, stream := range []uint64{streamCritic1, streamCritic2} {
		a.critics[i] = o.NewCritic(fmt.Sprintf("critic %d", i+1), actions, a.Actor, rand.NewPCG(o.Seed, stream))
		a.targets[i] = nn.NewTarget(fmt.Sprintf("target %d", i+1), a.critics[i])
	}
	if err := a.compile(); err != nil {
		return nil, fmt.Errorf("building the graphs: %w", err)
	}
	var err error
	a.buffer, err = replay.Open(replay.Options{
		InputLength: inputLength, Decisions: o.BufferSize, Bytes: int64(o.BufferBytes), Path: path, Spill: o.BufferSpill,
	})
	return a, err
}

func (a *Agent) compile() error {
	m := nn.NewMinibatch(a.options.MinibatchSize, a.InputLength())
	p := &a.programs
	p.input = m
	var errs [8]error
	p.next, errs[0] = m.Forward(a.Actor)
	p.actorOn, errs[1] = newActorProgram(m, a.Actor)
	for i := range a.critics {
		p.nextQ[i], errs[2+i] = m.Forward(a.targets[i])
		p.criticsOn[i], errs[4+i] = newCriticProgram(m, a.critics[i])
		p.q[i], errs[6+i] = m.Forward(a.critics[i])
	}
	return errors.Join(errs[:]...)
}

// Close closes the file of the buffer.
func (a *Agent) Close() error { return a.buffer.Close() }

// Options returns the options that the agent was made with.
func (a *Agent) Options() Options {
	o := a.options
	o.HiddenSizes = slices.Clone(o.HiddenSizes)
	return o
}

// Due is the number of updates that [Agent.Update] would make now.
func (a *Agent) Due() int64 { return a.due }

// Parameters is the number of weights and biases of all five networks.
func (a *Agent) Parameters() int {
	n := 0
	for _, net := range a.networks() {
		n += net.Parameters()
	}
	return n
}

func (a *Agent) networks() []*nn.Network {
	return []*nn.Network{a.Actor, a.critics[0], a.critics[1], a.targets[0], a.targets[1]}
}

// Q returns what both critics expect of accepting and of rejecting; [policy.Policy.Accept]'s
// conditions hold.
func (a *Agent) Q(features []float32) (accept, reject [2]float64) {
	for i, c := range a.critics {
		q := c.Forward(a.Standardiser().Row(features))
		accept[i], reject[i] = q[0], q[1]
	}
	return accept, reject
}
