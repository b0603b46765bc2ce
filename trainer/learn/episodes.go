package learn

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/x448/float16"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// Payer turns replies into episodes: it says what each decision is paid.
type Payer struct {
	Reward reward.Reward
	// Dense pays what there is of the reward on prefixes token by token and the rest at the last one; the sum is the reward of
	// the whole reply.
	Dense bool
	// RejectionCost is taken off at each rejection.
	RejectionCost float64
	// Gamma discounts, per token, the rewards of forced tokens back to the decision before them.
	Gamma float64
	// MaxDropped is the share of replies, 0 to 1, that the reward may fail on. More are an error.
	MaxDropped float64
}

// Paid is what became of a batch of replies.
type Paid struct {
	// Replies are those that the reward judged, and Episodes theirs, one each, with the reply's reward as its Return.
	Replies  []env.Reply
	Episodes []rl.Episode
	// Terms are what the rewards were added up from, with one score for each of Replies.
	Terms []reward.Term
	// Dropped are the replies that the reward failed on.
	Dropped []Dropped
}

// Dropped is a reply without a reward, and why it has none.
type Dropped struct {
	Reply env.Reply
	Err   error
}

// Pay asks for the reward of replies and makes episodes of those that have one.
func (p Payer) Pay(ctx context.Context, replies []env.Reply) (Paid, error) {
	j, err := reward.Judge(ctx, p.Reward, eval.Samples(replies), p.MaxDropped)
	if err != nil {
		return Paid{}, err
	}
	paid := Paid{Terms: j.Terms}
	for k, i := range j.Judged {
		episode, err := p.episode(&replies[i], j.Scores[k])
		if err != nil {
			return Paid{}, fmt.Errorf("reply to prompt %s: %w", replies[i].Prompt.ID, err)
		}
		paid.Replies, paid.Episodes = append(paid.Replies, replies[i]), append(paid.Episodes, episode)
	}
	for _, f := range j.Failures {
		paid.Dropped = append(paid.Dropped, Dropped{replies[f.Sample], f.Err})
	}
	return paid, nil
}

func (p Payer) episode(r *env.Reply, score float64) (rl.Episode, error) {
	perToken, err := p.perToken(r, score)
	if err != nil {
		return rl.Episode{}, err
	}
	e := rl.Episode{Return: score, Tokens: len(perToken)}
	for _, d := range r.Decisions {
		if d.Action != wire.Forced {
			t, err := transition(d)
			if err != nil {
				return rl.Episode{}, err
			}
			if t.Action == sampler.Reject {
				t.Reward -= p.RejectionCost
			}
			e.Transitions = append(e.Transitions, t)
		}
		// The token's reward is the doing of the last decision at or before it. What comes before the first one is nobody's.
		if last := len(e.Transitions) - 1; d.Action != wire.Reject && last >= 0 {
			t := &e.Transitions[last]
			t.Reward += perToken[d.Position] * math.Pow(p.Gamma, float64(d.Position-t.Token))
		}
	}
	return e, nil
}

// perToken spreads a reply's reward over its tokens.
func (p Payer) perToken(r *env.Reply, score float64) ([]float64, error) {
	pieces := Pieces(r)
	if part := reward.OnPrefixes(p.Reward); part != nil && p.Dense && len(pieces) > 0 {
		out, err := reward.Dense(part, r.Prompt.Text, pieces)
		if err != nil {
			return nil, err
		}
		// The part is not all of the reward, and where a token's text alone is no valid UTF-8 the pieces do not quite make up
		// the reply.
		sum := 0.0
		for _, x := range out {
			sum += x
		}
		out[len(out)-1] += score - sum
		return out, nil
	}
	out := make([]float64, len(pieces))
	if len(out) > 0 {
		out[len(out)-1] = score
	}
	return out, nil
}

// Pieces are the texts of a reply's tokens, cut where the reply's text ends: an end-of-sequence token, or what a stop string
// took away, has none.
func Pieces(r *env.Reply) []string {
	var pieces []string
	left := len(r.Text)
	for _, d := range r.Decisions {
		if d.Action == wire.Reject {
			continue
		}
		n := min(len(d.Text), left)
		pieces = append(pieces, d.Text[:n])
		left -= n
	}
	return pieces
}

// transition reads a traced decision that the proxy was asked about.
func transition(d wire.Decision) (rl.Transition, error) {
	if d.Accept == nil || len(d.Features) == 0 {
		return rl.Transition{}, fmt.Errorf("the decision at position %d has no features: the trace was not proxy_trace=features", d.Position)
	}
	t := rl.Transition{Token: d.Position, Features: Features(d), Action: sampler.Accept, LogProb: math.Log(*d.Accept)}
	if d.Action == wire.Reject {
		t.Action, t.LogProb = sampler.Reject, math.Log1p(-*d.Accept)
	}
	return t, nil
}

// Features decodes a traced decision's features.
func Features(d wire.Decision) []float32 {
	out := make([]float32, len(d.Features)/2)
	for i := range out {
		out[i] = float16.Frombits(binary.LittleEndian.Uint16(d.Features[2*i:])).Float32()
	}
	return out
}
