package plugin

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/x448/float16"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// Grammar constrains a reply (Ollama's format option).
type Grammar interface {
	// Mask sets the logits of the tokens that the grammar does not allow next to -Inf.
	Mask(logits []float32)
	// Accept moves the grammar on by a token of the reply.
	Accept(token int32)
}

// Step is what one forward pass of the LLM led to.
type Step struct {
	// Emit says that the reply got a token, Token.
	Emit  bool
	Token int32
	// Rewind says that the last token fed was rejected: take its position out of the cache before Next is fed.
	Rewind bool
	// Next is the token to feed next. For a prefix proxy it is Token.
	Next int32
}

// Gate is SKAM and a proxy on one live sequence. It is not for concurrent use.
type Gate struct {
	proxy *Loaded
	host  *Host
	eval  *proxy.Evaluator

	pool    sampler.Pool
	walk    sampler.Walk
	options sampler.Options
	cutoff  float64
	grammar Grammar
	rng     *rand.Rand // nil: the likelier action is taken

	// fed is true while a candidate of the walk is in the LLM's cache and undecided (lookahead).
	fed bool

	// features is what the proxy is asked about, already rounded to float16: the hidden state and, for prefix, the
	// candidate's token embedding.
	features []float32
	masked   []float32

	trace     string
	decisions []wire.Decision
	stats     wire.Stats

	// keepLogits: the raw logits that the last emitted token was chosen from (chosen), and those of the walk under way.
	keepLogits      bool
	chosen, current []float32
}

// Lookahead reports whether the proxy sees the hidden state at the candidate, so that candidates are fed before they are
// decided.
func (g *Gate) Lookahead() bool { return g.proxy.Features == proxy.Lookahead }

// Stats returns the counts so far.
func (g *Gate) Stats() wire.Stats { return g.stats }

// TakeDecisions returns the decisions since the last call; empty unless the request asked for a trace.
func (g *Gate) TakeDecisions() []wire.Decision {
	d := g.decisions
	g.decisions = nil
	return d
}

// Logits returns the raw logits that the last emitted token was chosen from, given those of the pass just done. They differ
// for lookahead, where that pass was the candidate's own.
func (g *Gate) Logits(pass []float32) []float32 {
	if g.Lookahead() {
		return g.chosen
	}
	return pass
}

// Step takes the logits (one a token of the vocabulary) and the final hidden state (d values) of the pass that the last fed
// token got, and says what comes of it. An error ends this sequence alone.
func (g *Gate) Step(logits, hidden []float32) (Step, error) {
	start := time.Now()
	defer func() { g.stats.Duration += time.Since(start) }()
	if len(hidden) != g.proxy.EmbeddingLength {
		return Step{}, fmt.Errorf("hidden state: the proxy wants %d values, the model gives %d", g.proxy.EmbeddingLength, len(hidden))
	}
	if g.Lookahead() {
		return g.lookahead(logits, hidden)
	}
	return g.prefix(logits, hidden)
}

// prefix walks a whole position in one go: everything the proxy looks at is known before a candidate is fed.
func (g *Gate) prefix(logits, hidden []float32) (Step, error) {
	g.stats.Forwards++
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
		if err != nil {
			return Step{}, err
		}
		action, err := g.decide(p)
		if err != nil {
			return Step{}, err
		}
		if action == sampler.Accept {
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
	var err error
	embedding := func(token int32) []float32 {
		e := g.features[g.proxy.EmbeddingLength:]
		if err = g.host.Embedding(token, e); err != nil {
			e[0] = float32(math.NaN()) // what the cache keeps of it must not pass for an answer
		}
		round(e, e)
		return e
	}
	var p float64
	if g.trace == wire.TraceFeatures {
		p = g.eval.Accept(embedding(token))
	} else {
		p = g.eval.AcceptToken(token, embedding)
	}
	return p, err
}

// lookahead decides the candidate whose pass has just been done, and says which one to feed next.
func (g *Gate) lookahead(logits, hidden []float32) (Step, error) {
	var step Step
	if g.fed {
		g.stats.Forwards++
		rejected, err := g.judge(hidden)
		if err != nil {
			return Step{}, err
		}
		if rejected {
			if err := g.walk.Reject(); err != nil {
				return Step{}, err
			}
			return Step{Rewind: true, Next: g.walk.Candidate().Token}, nil
		}
		step = g.emit()
		g.chosen, g.current = g.current, g.chosen
		if g.host.EndOfSequence(step.Token) {
			return step, nil // nothing is proposed after the end
		}
	}
	if g.keepLogits {
		g.current = append(g.current[:0], logits...)
	}
	if err := g.propose(logits); err != nil {
		return Step{}, err
	}
	g.fed = true
	step.Next = g.walk.Candidate().Token
	return step, nil
}

// judge asks about the walk's candidate by the hidden state at it, unless it is forced.
func (g *Gate) judge(hidden []float32) (rejected bool, err error) {
	if g.walk.Forced() {
		g.force()
		return false, nil
	}
	round(g.features, hidden)
	g.eval.SetHidden(g.features)
	action, err := g.decide(g.eval.Accept(nil))
	return action == sampler.Reject, err
}

// propose builds the position's pool and starts its walk.
func (g *Gate) propose(logits []float32) error {
	if g.grammar != nil {
		g.masked = append(g.masked[:0], logits...)
		g.grammar.Mask(g.masked)
		logits = g.masked
	}
	if err := g.pool.Build(logits, g.options); err != nil {
		return fmt.Errorf("position %d: %w", g.stats.Tokens(), err)
	}
	g.walk.Start(&g.pool)
	return nil
}

// emit gives the walk's candidate to the reply.
func (g *Gate) emit() Step {
	token := g.walk.Candidate().Token
	if g.grammar != nil {
		g.grammar.Accept(token)
	}
	g.fed = false
	return Step{Emit: true, Token: token, Next: token}
}

// decide turns pi(accept) into an action (design §3.4), counts and traces it.
func (g *Gate) decide(p float64) (sampler.Action, error) {
	if math.IsNaN(p) {
		return sampler.Accept, fmt.Errorf("proxy %s yields NaN at position %d", g.proxy.Digest, g.stats.Tokens())
	}
	accept := p >= g.cutoff
	if g.rng != nil {
		accept = g.rng.Float64() < p
	}
	if accept {
		g.record(wire.Accept, &p)
		g.stats.Accepted++
		return sampler.Accept, nil
	}
	g.record(wire.Reject, &p)
	g.stats.Rejected++
	return sampler.Reject, nil
}

// force counts and traces a candidate for which rejection was masked.
func (g *Gate) force() {
	g.record(wire.Forced, nil)
	g.stats.Forced++
}

// record counts a proposal and, for a trace, keeps what was decided. It must come before the action is counted: the position
// is the number of tokens so far.
func (g *Gate) record(action string, accept *float64) {
	g.stats.Proposed++
	if g.trace == wire.TraceOff {
		return
	}
	c := g.walk.Candidate()
	d := wire.Decision{
		Position: g.stats.Tokens(),
		Token:    c.Token,
		Text:     g.host.Piece(c.Token),
		Rank:     g.walk.Rank(),
		Prob:     c.Prob,
		Pool:     len(g.pool.Candidates()),
		Action:   action,
	}
	if accept != nil {
		p := *accept // a copy: the caller's must not move to the heap when nothing is traced
		d.Accept = &p
		if g.trace == wire.TraceFeatures {
			d.Features = halves(g.features)
		}
	}
	g.decisions = append(g.decisions, d)
}

// round rounds src to float16 into dst, saturating: the proxy is always asked about float16 values, so that a trace of
// them holds exactly what it saw and asking for a trace changes no decision.
func round(dst, src []float32) {
	const largest = 65504
	for i, x := range src {
		if x > largest {
			x = largest
		} else if x < -largest {
			x = -largest
		}
		dst[i] = float16.Fromfloat32(x).Float32()
	}
}

// halves encodes values that are float16 already as little-endian bytes.
func halves(values []float32) []byte {
	out := make([]byte, 0, 2*len(values))
	for _, x := range values {
		out = binary.LittleEndian.AppendUint16(out, float16.Fromfloat32(x).Bits())
	}
	return out
}
