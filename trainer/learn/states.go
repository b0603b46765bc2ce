package learn

import (
	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
)

// States are the LLM's final hidden states at a reply's tokens as far as the trace of its decisions shows them: the features of a
// prefix proxy begin with the state at the token before the candidate, those of a lookahead proxy are the state at the candidate.
// A token has none, nil, where the proxy was not asked; the end-of-sequence token has none, as in wire.States. There is one place
// for each of [Pieces].
func States(r *env.Reply) [][]float32 {
	var states [][]float32
	for _, d := range r.Decisions {
		if d.Action == wire.Reject && r.Proxy.Features != string(proxy.Prefix) {
			continue
		}
		var state []float32
		if len(d.Features) > 0 {
			state = Features(d)
		}
		if r.Proxy.Features == string(proxy.Prefix) {
			if state != nil && len(states) > 0 { // of the first token's candidates it is the prompt's
				states[len(states)-1] = state[:len(state)/2]
			}
			state = nil
		}
		if d.Action != wire.Reject {
			states = append(states, state)
		}
	}
	if n := len(states); n > 0 && r.DoneReason == "stop" {
		states[n-1] = nil
	}
	return states
}
