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

// Pass is what the LLM gave at one token that was fed: its logits, one a token of the vocabulary, and its final hidden state,
// d values.
type Pass struct {
	Logits, Hidden []float32
}

// Step is what the passes of one batch led to.
type Step struct {
	// Emit says that the reply got a token, Token.
	Emit  bool
	Token int32
	// Kept is the index of the pass whose token stays in the cache. -1 is none: the position is fed again, with Next.
	Kept int
	// Next is the tokens to feed next, all at one position: a prefix proxy's is Token, a lookahead proxy's are candidates, in
	// descending order of probability and more than one only with siblings (see [Siblings]). As few of them as there is
	// room for may be fed, from the first on. Valid until the next Step; empty after the end of the reply.
	Next []int32
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
	draw    float64    // what rng gave for the candidate, NaN until it is asked

	siblings Siblings
	next     []int32 // memory of Step.Next
	// fed is true while candidates of the walk are in the LLM's cache and undecided (lookahead).
	fed bool
	// failed ends the sequence at the next step: an error about the position after a token that the reply got.
	failed error

	// features is what the proxy is asked about, already rounded to float16: the hidden state and, for prefix, the
	// candidate's token embedding.
	features  []float32
	embedding func(token int32) ([]float32, error) // readEmbedding
	masked    []float32

	trace     string
	decisions []wire.Decision
	stats     wire.Stats
	states    States // of the reply, where features are traced

	// keepLogits: the raw logits that the last emitted token was chosen from (chosen), and those of the walk under way.
	keepLogits      bool
	chosen, current []float32
}

// Lookahead reports whether the proxy sees the hidden state at the candidate, so that candidates are fed before they are
// decided.
func (g *Gate) Lookahead() bool { return g.proxy.Features == proxy.Lookahead }

// Stats returns the counts so far.
func (g *Gate) Stats() wire.Stats { return g.stats }

// States returns the reply's states so far; nil unless features are traced.
func (g *Gate) States() *wire.States { return g.states.Wire() }

// noteState is told of the hidden state at the prompt's last token, and at each token of the reply when its pass is done.
func (g *Gate) noteState(hidden []float32) {
	if g.trace == wire.TraceFeatures {
		g.states.Add(hidden)
	}
}

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

// Step takes what the last batch gave at the tokens that were fed for the sequence, in the order of [Step.Next]; for a prompt
// it is the last token's alone. It says what comes of them. An error ends this sequence alone.
func (g *Gate) Step(passes []Pass) (Step, error) {
	start := time.Now()
	defer func() { g.stats.Duration += time.Since(start) }()
	if g.failed != nil {
		return Step{}, g.failed
	}
	for _, p := range passes {
		if len(p.Hidden) != g.proxy.EmbeddingLength {
			return Step{}, fmt.Errorf("hidden state: the proxy wants %d values, the model gives %d", g.proxy.EmbeddingLength, len(p.Hidden))
		}
	}
	if g.Lookahead() {
		return g.lookahead(passes)
	}
	return g.prefix(passes[0].Logits, passes[0].Hidden)
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
	g.next = append(g.next[:0], token)
	return Step{Emit: true, Token: token, Next: g.next}
}

// threshold is the least pi(accept) that accepts the candidate (design §3.4): the cutoff, or, exploring, just above what is
// drawn once a candidate.
func (g *Gate) threshold() float64 {
	if g.rng == nil {
		return g.cutoff
	}
	if math.IsNaN(g.draw) {
		g.draw = g.rng.Float64()
	}
	return math.Nextafter(g.draw, 2)
}

// decide turns pi(accept) into an action, counts and traces it.
func (g *Gate) decide(p float64) sampler.Action {
	accept := p >= g.threshold()
	g.draw = math.NaN()
	if accept {
		g.record(wire.Accept, &p)
		g.stats.Accepted++
		return sampler.Accept
	}
	g.record(wire.Reject, &p)
	g.stats.Rejected++
	return sampler.Reject
}

// number refuses a pi(accept) that is none.
func (g *Gate) number(p float64) error {
	if math.IsNaN(p) {
		return fmt.Errorf("proxy %s yields NaN at position %d", g.proxy.Digest, g.stats.Tokens())
	}
	return nil
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
