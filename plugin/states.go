package plugin

import (
	"errors"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// ErrNotForRollouts is what the endpoints for trainers answer on another server.
var ErrNotForRollouts = errors.New("this needs a server started with " + wire.RolloutVariable + "=1")

// States adds up the hidden states of one reply, as [wire.States] defines them. Its zero value is ready; it is not for
// concurrent use.
type States struct {
	begun bool
	sum   []float64
	last  []float32
	n     int
}

// Add takes the next state: first the one at the prompt's last token, then those at the reply's.
func (s *States) Add(hidden []float32) {
	s.last = append(s.last[:0], hidden...)
	if !s.begun {
		s.begun = true
		return
	}
	if s.sum == nil {
		s.sum = make([]float64, len(hidden))
	}
	for i, x := range hidden {
		s.sum[i] += float64(x)
	}
	s.n++
}

// Wire is what has been added so far; nil before anything has.
func (s *States) Wire() *wire.States {
	if !s.begun {
		return nil
	}
	out := &wire.States{Last: slices.Clone(s.last), Tokens: s.n}
	if s.n == 0 {
		out.Mean = out.Last
		return out
	}
	out.Mean = make(wire.Vector, len(s.sum))
	for i, x := range s.sum {
		out.Mean[i] = float32(x / float64(s.n))
	}
	return out
}

// Reading is a reply whose states are read: the LLM is fed tokens, and no token is chosen. From a position on its states are
// wanted. One is made for a sequence; its methods are called by the decode loop alone, until the sequence has ended.
type Reading struct {
	// From is the position of the first state: the prompt's last token. Total is the number of positions.
	From, Total int

	states States
	read   int
}

// NewReading is for a prompt of that many tokens, at least one, with a reply behind it.
func NewReading(prompt, reply int) *Reading {
	return &Reading{From: prompt - 1, Total: prompt + reply}
}

// Wants reports whether the state at a position is to be read. None is at the placeholder that the decode loop feeds behind the
// last token.
func (r *Reading) Wants(position int) bool { return position >= r.From && position < r.Total }

// Add takes the states at the next positions, d values each, one after another. It reports whether they were the last ones.
func (r *Reading) Add(hidden []float32, d int) (done bool) {
	for state := range slices.Chunk(hidden, d) {
		r.states.Add(state)
		r.read++
	}
	return r.read >= r.Total-r.From
}

// States is the result. It is nil unless every state was read.
func (r *Reading) States() *wire.States {
	if r.read < r.Total-r.From {
		return nil
	}
	return r.states.Wire()
}

// Fit says how many tokens of a prompt and of the reply behind it are fed where room tokens fit: the last ones, but at least
// one of the prompt.
func Fit(prompt, reply, room int) (keepPrompt, keepReply int) {
	keepReply = min(reply, room-1)
	return min(prompt, room-keepReply), keepReply
}
