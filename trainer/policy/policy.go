package policy

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// Policy is the part of an agent that acts, with what is counted and drawn while it
// is trained. The exported fields are for the agent that it is a part of.
type Policy struct {
	Algorithm string // in errors
	Version   int    // of the agent's states: changes when an old one would continue differently
	Actor     *nn.Network
	Random    *rand.PCG // of the minibatches
	Updates   int64     // so far, of all runs that the state went through

	features rl.Running       // statistics of the features
	standard *nn.Standardiser // made of features; nil when they changed
}

// InputLength is the number of features.
func (p *Policy) InputLength() int { return p.Actor.Sizes[0] }

// Observe adds one vector of features to the statistics that features are
// standardised with. It changes the policy: call it before the first export and not
// between collecting a batch and learning from it. What is learnt from is observed
// by the agent.
func (p *Policy) Observe(features []float32) error {
	if len(features) != p.InputLength() {
		return fmt.Errorf("%s: observe: %d features, want %d", p.Algorithm, len(features), p.InputLength())
	}
	if i := nn.FirstNotFinite(features); i >= 0 {
		return fmt.Errorf("%s: observe: feature %d is %v, want a finite number", p.Algorithm, i, features[i])
	}
	p.standard = nil
	return p.features.Push(features)
}

// Standardiser is made of all that was observed.
func (p *Policy) Standardiser() *nn.Standardiser {
	if p.standard == nil {
		p.standard = nn.NewStandardiser(p.InputLength(), &p.features)
	}
	return p.standard
}

// Accept returns pi(accept) for features as the server sends them, not
// standardised. It runs in plain float64 loops, one vector at a time: for tests
// and spot checks. It panics if the number of features is wrong.
func (p *Policy) Accept(features []float32) float64 {
	z := p.Actor.Forward(p.Standardiser().Row(features))
	return 1 / (1 + math.Exp(z[1]-z[0]))
}

// Proxy returns the actor as a server runs it, the standardisation of the features
// folded into it. c says everything but the hidden sizes and the activation, which
// are the agent's. The result shares no memory with the agent apart from what c
// holds.
func (p *Policy) Proxy(c proxy.Config) (*proxy.Model, error) {
	if n := c.InputLength(); n != p.InputLength() {
		return nil, fmt.Errorf("%s: export: %s features of embedding length %d are %d values, but the agent was made for %d", p.Algorithm, c.Features, c.EmbeddingLength, n, p.InputLength())
	}
	m, err := p.Actor.Export(p.Standardiser(), c)
	if err != nil {
		return nil, fmt.Errorf("%s: export: %w", p.Algorithm, err)
	}
	return m, nil
}
