package plugin

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// This file is design §3 and §4 once more, as slowly and plainly as possible: float64, everything sorted, T' summed at every
// candidate, the whole MLP for every candidate. It shares no code with the gate or the sampler.

// slowDecoding is everything that a reply depends on.
type slowDecoding struct {
	llm      fakeLLM
	proxy    *proxy.Model
	options  sampler.Options
	cutoff   float64
	explore  bool
	seed     int
	allow    func(position int, token int32) bool // nil: no grammar
	limit    int
	features bool // trace them
}

// slowDecision is a wire.Decision with its features as numbers.
type slowDecision struct {
	wire.Decision
	Seen []float64
}

func (s slowDecoding) run() (decisions []slowDecision, tokens []int32) {
	actions := rand.New(rand.NewPCG(uint64(s.seed), 0x70726f7879)) // the stream is part of what a seed means
	text := slices.Clone(prompt)
	for len(tokens) < s.limit {
		logits, hidden := s.llm.pass(text)
		pool := slowPool(s.masked(logits, len(tokens)), s.options)
		for rank := 0; ; rank++ {
			d := slowDecision{Decision: wire.Decision{
				Position: len(tokens),
				Token:    pool[rank].token,
				Text:     fakePiece(pool[rank].token),
				Rank:     rank,
				Prob:     pool[rank].p,
				Pool:     len(pool),
				Action:   wire.Forced,
			}}
			if !slowForced(pool[rank:], rank, s.options) {
				seen := s.see(text, hidden, d.Token)
				p := s.proxy.Accept(seen)
				d.Accept, d.Action = &p, wire.Reject
				if !s.explore && p >= s.cutoff || s.explore && actions.Float64() < p {
					d.Action = wire.Accept
				}
				if s.features {
					d.Seen = seen
				}
			}
			decisions = append(decisions, d)
			if d.Action != wire.Reject {
				tokens, text = append(tokens, d.Token), append(text, d.Token)
				break
			}
		}
		if tokens[len(tokens)-1] == fakeEnd {
			break
		}
	}
	return decisions, tokens
}

func (s slowDecoding) masked(logits []float32, position int) []float64 {
	out := make([]float64, len(logits))
	for i, z := range logits {
		out[i] = float64(z)
		if s.allow != nil && !s.allow(position, int32(i)) {
			out[i] = math.Inf(-1)
		}
	}
	return out
}

// see is the proxy's input: design §4.
func (s slowDecoding) see(text []int32, before []float32, candidate int32) []float64 {
	if s.proxy.Features == proxy.Prefix {
		return slowHalves(slices.Concat(before, s.llm.embedding(candidate)))
	}
	_, at := s.llm.pass(append(slices.Clone(text), candidate))
	return slowHalves(at)
}

// slowHalves rounds to the nearest float16, ties to even, and to the largest where that would be infinite.
func slowHalves(values []float32) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		x := max(-65504, min(65504, float64(v)))
		exponent := -14
		if x != 0 {
			exponent = max(exponent, int(math.Floor(math.Log2(math.Abs(x)))))
		}
		quantum := math.Ldexp(1, exponent-10)
		out[i] = math.RoundToEven(x/quantum) * quantum
	}
	return out
}

// parseHalves reads little-endian float16.
func parseHalves(b []byte) []float64 {
	var out []float64
	for ; len(b) >= 2; b = b[2:] {
		bits := binary.LittleEndian.Uint16(b)
		sign, exponent, fraction := 1-2*float64(bits>>15), int(bits>>10&31), float64(bits&1023)
		x := math.Ldexp(fraction, -24)
		switch {
		case exponent == 31:
			x = math.Inf(1)
		case exponent > 0:
			x = math.Ldexp(1024+fraction, exponent-25)
		}
		out = append(out, sign*x)
	}
	return out
}

type slowCandidate struct {
	token int32
	p     float64
}

// slowPool is design §3.1.
func slowPool(logits []float64, o sampler.Options) []slowCandidate {
	var pool []slowCandidate
	for i, z := range logits {
		if !math.IsInf(z, -1) {
			pool = append(pool, slowCandidate{int32(i), z})
		}
	}
	sort.Slice(pool, func(i, j int) bool {
		if pool[i].p != pool[j].p {
			return pool[i].p > pool[j].p
		}
		return pool[i].token < pool[j].token
	})
	if o.TopK > 0 && o.TopK < len(pool) {
		pool = pool[:o.TopK]
	}
	if o.Temperature == 0 {
		return []slowCandidate{{pool[0].token, 1}}
	}
	top := pool[0].p
	for i := range pool {
		pool[i].p = math.Exp((pool[i].p - top) / o.Temperature)
	}
	normalised(pool)
	sum := 0.0
	for i, c := range pool {
		if sum += c.p; sum > o.TopP && o.TopP < 1 {
			pool = pool[:i+1]
			break
		}
	}
	for i, c := range pool {
		if c.p < o.MinP*pool[0].p {
			pool = pool[:i]
			break
		}
	}
	normalised(pool)
	return pool
}

func normalised(pool []slowCandidate) {
	sum := 0.0
	for _, c := range pool {
		sum += c.p
	}
	for i := range pool {
		pool[i].p /= sum
	}
}

// slowForced is design §3.3 and §3.5: rest is T', rank the rejections so far.
func slowForced(rest []slowCandidate, rank int, o sampler.Options) bool {
	sum := 0.0
	for _, c := range rest {
		sum += c.p
	}
	if rank == 0 {
		sum = 1 // not a rounding away from it: a pool of 5 at p_t 0.2 is forced
	}
	return sum <= o.PT*float64(len(rest)) || len(rest) == 1 || o.MaxRejections > 0 && rank == o.MaxRejections
}

// slowStats counts decisions.
func slowStats(features proxy.Features, digest string, decisions []slowDecision) wire.Stats {
	s := wire.Stats{Digest: digest, Features: string(features), Proposed: len(decisions)}
	for _, d := range decisions {
		switch d.Action {
		case wire.Accept:
			s.Accepted++
		case wire.Reject:
			s.Rejected++
		case wire.Forced:
			s.Forced++
		default:
			panic(fmt.Sprintf("action %q", d.Action))
		}
	}
	s.Forwards = s.Proposed
	if features == proxy.Prefix {
		s.Forwards = s.Accepted + s.Forced
	}
	return s
}

// parsed turns a trace into the reference's form.
func parsed(trace []wire.Decision) []slowDecision {
	var out []slowDecision
	for _, d := range trace {
		s := slowDecision{Decision: d, Seen: parseHalves(d.Features)}
		s.Features = nil
		out = append(out, s)
	}
	return out
}
