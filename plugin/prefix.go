package plugin

import (
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// prefix walks a whole position in one go: everything the proxy looks at is known before a candidate is fed.
func (g *Gate) prefix(logits, hidden []float32) (Step, error) {
	g.stats.Forwards++
	g.noteState(hidden)
	if err := g.propose(logits); err != nil {
		return Step{}, err
	}
	d := len(hidden)
	for asked := false; !g.walk.Forced(); asked = true {
		if !asked {
			round(g.features[:d], hidden)
			g.eval.SetHidden(g.features[:d])
		}
		p, err := g.askPrefix(g.walk.Candidate().Token)
		if err == nil {
			err = g.number(p)
		}
		if err != nil {
			return Step{}, err
		}
		if g.decide(p) == sampler.Accept {
			return g.emit(), nil
		}
		if err := g.walk.Reject(); err != nil {
			return Step{}, err
		}
	}
	g.force()
	return g.emit(), nil
}

// askPrefix returns pi(accept) of a token at the position whose hidden state is set. The embedding is read only where the
// proxy's cache has no product of it, or where the trace shows it.
func (g *Gate) askPrefix(token int32) (float64, error) {
	if g.trace != wire.TraceFeatures {
		return g.eval.AcceptToken(token, g.embedding)
	}
	e, err := g.embedding(token)
	if err != nil {
		return 0, err
	}
	return g.eval.Accept(e), nil
}

// readEmbedding puts a token's embedding, as the proxy sees it, behind the hidden state.
func (g *Gate) readEmbedding(token int32) ([]float32, error) {
	e := g.features[g.proxy.EmbeddingLength:]
	if err := g.host.Embedding(token, e); err != nil {
		return nil, err
	}
	round(e, e)
	return e, nil
}
