package eval

import (
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// Policy is one way of answering.
type Policy struct {
	Name    string // as reports call it
	Model   string // as the server calls it
	Options map[string]any
	// Draws is how many replies are drawn for each prompt, each with a seed of its own. 0 is one without a seed, for what leaves
	// nothing to chance.
	Draws int
}

// Names of the policies in reports, beside "best of 8".
const (
	NameGreedy   = "base greedy"
	NameSampling = "base sampling"
	NameProxy    = "proxy"
)

// Greedy is the base model's most probable token at every position.
func Greedy(model string) Policy {
	return Policy{Name: NameGreedy, Model: model, Options: map[string]any{"temperature": 0, "proxy": wire.ProxyNone}}
}

// Sampling is the base model sampled from, draws times for each prompt. Of topP 1 and of topK 0 is everything.
func Sampling(model string, temperature, topP float64, topK, draws int) Policy {
	return Policy{
		Name: NameSampling, Model: model, Draws: draws,
		Options: map[string]any{"temperature": temperature, "top_p": topP, "top_k": topK, "proxy": wire.ProxyNone},
	}
}

// Proxied is what a user of the model with its proxy gets.
func Proxied(model string) Policy { return Policy{Name: NameProxy, Model: model} }
