package ppo

import (
	"fmt"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Proxy returns the actor as a server runs it, the standardisation of the features
// folded into it. c says everything but the hidden sizes and the activation, which
// are the agent's. The result shares no memory with the agent apart from what c
// holds.
func (a *Agent) Proxy(c proxy.Config) (*proxy.Model, error) {
	if n := c.InputLength(); n != a.inputLength {
		return nil, fmt.Errorf("ppo: export: %s features of embedding length %d are %d values, but the agent was made for %d", c.Features, c.EmbeddingLength, n, a.inputLength)
	}
	m, err := a.actor.Export(a.standardiser(), c)
	if err != nil {
		return nil, fmt.Errorf("ppo: export: %w", err)
	}
	return m, nil
}
