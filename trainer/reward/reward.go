package reward

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// Sample is one reply to be judged.
type Sample struct {
	Prompt string          // what was asked, without the chat template
	Reply  string          // the whole reply, as text
	Label  json.RawMessage // what the data set says of the prompt, as JSON; nil if nothing
	// State is the mean of the LLM's final hidden states at the reply (wire.States),
	// nil if nobody asked for it. Rewards with a [StateLength] need it.
	State []float32
}

// Trace is a reply as its decisions were traced, token by token.
type Trace struct {
	Prompt string
	// Pieces are the texts of the tokens. They may be empty, and may end inside a
	// word or even inside the bytes of one character.
	Pieces []string
	// States are the LLM's final hidden states at the tokens, each nil where the
	// trace does not show it, and State the mean of all of them, as in [Sample].
	// For rewards with a [StateLength]; nil for others.
	States [][]float32
	State  []float32
}

// query is the prompt with the reply, as OpenRLHF's contract calls it.
func (s Sample) query() string { return s.Prompt + s.Reply }

// label returns Label for use in JSON: null if there is none, and an error if
// it is not JSON.
func (s Sample) label() (json.RawMessage, error) {
	if len(s.Label) > 0 && !json.Valid(s.Label) {
		return nil, fmt.Errorf("its label is not JSON: %.80q", s.Label)
	}
	if len(s.Label) == 0 {
		return nil, nil // which is written as null
	}
	return s.Label, nil
}

// Reward judges replies.
//
// Score returns one finite number per sample, in the order of samples, or an
// error and no numbers. The error is a *PartialError where some of the samples
// were judged. An empty slice of samples gives an empty slice. Implementations
// may be called from several goroutines at once and do not keep or change
// samples.
//
// A Reward that holds something open is an io.Closer as well.
type Reward interface {
	Score(ctx context.Context, samples []Sample) ([]float64, error)
}

// Prefixer is a Reward whose score exists on every prefix of a reply and is
// cheap to compute there.
//
// Prefixes returns out with len(out) == len(t.Pieces): out[i] is the score of
// the first i+1 tokens, so that the last one is the Score of the whole. Where pieces end inside a word, a match that
// a later piece extends or undoes is counted at the one prefix and not at the
// other.
type Prefixer interface {
	Reward
	Prefixes(t Trace) ([]float64, error)
}

// Dense returns one reward per token: out[0] is the score of the first, and
// out[i] the score of the first i+1 less that of the first i.
//
// The first difference is taken from 0 and not from the score of the empty
// reply. So the sum of out is the score of the whole reply (but for rounding in
// the last place), and an episode's undiscounted return is the same whether its
// reward is given densely or at the end. No tokens give no rewards: the reward
// of an empty reply, where it is not 0, has no token to be given to.
func Dense(r Prefixer, t Trace) ([]float64, error) {
	out, err := r.Prefixes(t)
	if err != nil {
		return nil, err
	}
	if len(out) != len(t.Pieces) {
		return nil, fmt.Errorf("reward: dense: %T gave %d scores for %d tokens; it breaks the contract of Prefixer", r, len(out), len(t.Pieces))
	}
	for i := len(out) - 1; i > 0; i-- {
		out[i] -= out[i-1]
	}
	return out, nil
}

// OnPrefixes returns the part of r that exists on prefixes of a reply: r itself
// if it is a Prefixer, of a sum those terms that have such a part, and nil if
// nothing has. What a reply's score is more than the part's has no better place
// than the reply's last token.
func OnPrefixes(r Reward) Prefixer {
	if p, ok := r.(Prefixer); ok {
		return p
	}
	terms, _ := r.(sum)
	var part []term
	for _, t := range terms {
		if p := OnPrefixes(t.reward); p != nil {
			t.reward = p
			part = append(part, t)
		}
	}
	if part == nil {
		return nil
	}
	return prefixSum{part}
}

// textReward is a reward that looks at the text of the reply alone. The
// function must be pure and finite for every string, invalid UTF-8 included.
type textReward func(reply string) float64

var _ Prefixer = textReward(nil)

func (f textReward) Score(ctx context.Context, samples []Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("reward: score sample %d of %d: %w", i+1, len(samples), err)
		}
		out[i] = f(s.Reply)
	}
	return out, nil
}

// Prefixes scores every prefix from scratch. That is quadratic in the length of
// the reply, some milliseconds for VADER on 100 tokens, and leaves nothing to
// go wrong where a match or a word crosses the border of a piece.
func (f textReward) Prefixes(t Trace) ([]float64, error) {
	whole := strings.Join(t.Pieces, "")
	out := make([]float64, len(t.Pieces))
	end := 0
	for i, p := range t.Pieces {
		end += len(p)
		if p == "" && i > 0 {
			out[i] = out[i-1]
			continue
		}
		out[i] = f(whole[:end])
	}
	return out, nil
}

// finite reports the first number that cannot be learnt from.
func finite(scores []float64) error {
	for i, s := range scores {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("score %d of %d is %v, not a finite number", i+1, len(scores), s)
		}
	}
	return nil
}
