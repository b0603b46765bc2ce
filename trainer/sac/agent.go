package sac

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/replay"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
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
	inputLength int
	options     Options
	actor       *nn.Network
	critics     [2]*nn.Network
	targets     [2]*nn.Network
	temperature temperature

	features rl.Running       // statistics of the features, see the package comment
	standard *nn.Standardiser // made of features; nil when they changed
	buffer   *replay.Ring

	programs programs
	sampling *rand.PCG
	draw     draw
	updates  int64
	due      int64
}

// programs are the graphs of an update, in the order in which they run. All of them
// read x, which holds the states after the decisions first and then their own.
type programs struct {
	x         *tensor.Dense // minibatch × inputLength
	next      *forwardProgram
	nextQ     [2]*forwardProgram // the targets'
	criticsOn [2]*criticProgram
	q         [2]*forwardProgram
	actorOn   *actorProgram
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
	a := &Agent{inputLength: inputLength, options: o, temperature: newTemperature(o.Alpha)}
	a.options.HiddenSizes = append([]int(nil), o.HiddenSizes...)
	sizes := append(append([]int{inputLength}, o.HiddenSizes...), actions)
	stream := func(n uint64) *rand.PCG { return rand.NewPCG(o.Seed, n) }
	a.sampling = stream(streamSampling)
	a.actor = nn.NewNetwork("actor", sizes, o.Activation, rand.New(stream(streamActor)))
	a.actor.Quieten(math.Log(o.InitialAccept), math.Log(1-o.InitialAccept))
	for i, from := range []uint64{streamCritic1, streamCritic2} {
		a.critics[i] = nn.NewNetwork(fmt.Sprintf("critic %d", i+1), sizes, o.Activation, rand.New(stream(from)))
		a.critics[i].Quieten(0, 0)
		a.critics[i].ShareGradients(a.actor)
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
	p, scratch := &a.programs, nn.Scratch{}
	p.x = tensor.New(tensor.WithShape(a.options.MinibatchSize, a.inputLength), tensor.Of(tensor.Float32))
	a.draw = newDraw(a.options.MinibatchSize)
	var errs [8]error
	p.next, errs[0] = newForwardProgram(a.actor, p.x, scratch)
	p.actorOn, errs[1] = newActorProgram(a.actor, p.x, scratch)
	for i := range a.critics {
		p.nextQ[i], errs[2+i] = newForwardProgram(a.targets[i], p.x, scratch)
		p.criticsOn[i], errs[4+i] = newCriticProgram(a.critics[i], p.x, scratch)
		p.q[i], errs[6+i] = newForwardProgram(a.critics[i], p.x, scratch)
	}
	return errors.Join(errs[:]...)
}

// Close closes the file of the buffer.
func (a *Agent) Close() error { return a.buffer.Close() }

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
	return []*nn.Network{a.actor, a.critics[0], a.critics[1], a.targets[0], a.targets[1]}
}

// Observe adds one vector of features to the statistics that features are
// standardised with. Add observes its own.
func (a *Agent) Observe(features []float32) error {
	if len(features) != a.inputLength {
		return fmt.Errorf("sac: observe: %d features, want %d", len(features), a.inputLength)
	}
	if i := nn.FirstNotFinite(features); i >= 0 {
		return fmt.Errorf("sac: observe: feature %d is %v, want a finite number", i, features[i])
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

// Q returns what both critics expect of accepting and of rejecting; [Agent.Accept]'s
// conditions hold.
func (a *Agent) Q(features []float32) (accept, reject [2]float64) {
	for i, c := range a.critics {
		q := c.Forward(a.standardiser().Row(features))
		accept[i], reject[i] = q[0], q[1]
	}
	return accept, reject
}

func (a *Agent) standardiser() *nn.Standardiser {
	if a.standard == nil {
		a.standard = nn.NewStandardiser(a.inputLength, &a.features)
	}
	return a.standard
}

// Proxy returns the actor as a server runs it, the standardisation of the features
// folded into it. c says everything but the hidden sizes and the activation, which
// are the agent's. The result shares no memory with the agent apart from what c
// holds.
func (a *Agent) Proxy(c proxy.Config) (*proxy.Model, error) {
	if n := c.InputLength(); n != a.inputLength {
		return nil, fmt.Errorf("sac: export: %s features of embedding length %d are %d values, but the agent was made for %d", c.Features, c.EmbeddingLength, n, a.inputLength)
	}
	m, err := a.actor.Export(a.standardiser(), c)
	if err != nil {
		return nil, fmt.Errorf("sac: export: %w", err)
	}
	return m, nil
}
