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
	// PostBack pays what would be paid at the last token to every decision, discounted, and not to the last one alone.
	PostBack bool
	// RejectionCost is taken off at each rejection.
	RejectionCost float64
	// KLCoef is β of a term that keeps the policy near the LLM: each decision is paid, beside all else,
	//
	//	−β (log π(a|s) − log q(a))    q(accept) = p(candidate) / Σ p over T′,  q(reject) = 1 − q(accept)
	//
	// where π is the policy that acted, p the LLM's probabilities in the pool and T′ the candidates that have not been rejected:
	// q is the LLM sampling from its pool, told one candidate after the other. What a decision is paid on average is then −β
	// times the KL divergence of its policy from the LLM's. Probabilities count as 1e-6 or more.
	KLCoef float64
	// Gamma discounts, per token, the rewards of later tokens back to the decision that they are paid to.
	Gamma float64
	// MaxDropped is the share of replies, 0 to 1, that the reward may fail on. More are an error.
	MaxDropped float64
}

// Paid is what became of a batch of replies.
type Paid struct {
	// Replies are those that the reward judged, and Episodes theirs, one each, with the reply's reward as its Return.
	Replies  []env.Reply
	Episodes []rl.Episode
	// Charged is what was taken off each of Episodes: the cost of rejections and the KL term, undiscounted.
	Charged []float64
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
		episode, charged, err := p.episode(&replies[i], j.Scores[k])
		if err != nil {
			return Paid{}, fmt.Errorf("reply to prompt %s: %w", replies[i].Prompt.ID, err)
		}
		paid.Replies, paid.Episodes = append(paid.Replies, replies[i]), append(paid.Episodes, episode)
		paid.Charged = append(paid.Charged, charged)
	}
	for _, f := range j.Failures {
		paid.Dropped = append(paid.Dropped, Dropped{replies[f.Sample], f.Err})
	}
	return paid, nil
}

// episode makes a reply's episode, and says what it was charged.
func (p Payer) episode(r *env.Reply, score float64) (e rl.Episode, charged float64, err error) {
	perToken, rest, err := p.spread(r, score)
	if err != nil {
		return rl.Episode{}, 0, err
	}
	e = rl.Episode{Return: score, Tokens: len(perToken), Prompt: r.Prompt.ID}
	if r.Proxy != nil {
		e.Policy = r.Proxy.Digest
	}
	llm := conditional{position: -1}
	for _, d := range r.Decisions {
		q := llm.accept(d)
		if d.Action != wire.Forced {
			t, err := transition(d)
			if err != nil {
				return rl.Episode{}, 0, err
			}
			cost := p.cost(&t, q)
			t.Reward -= cost
			charged += cost
			e.Transitions = append(e.Transitions, t)
		}
		// The token's reward is the doing of the last decision at or before it. What comes before the first one is nobody's.
		if last := len(e.Transitions) - 1; d.Action != wire.Reject && last >= 0 {
			t := &e.Transitions[last]
			t.Reward += perToken[d.Position] * p.discount(t, d.Position)
		}
	}
	p.payAtTheEnd(&e, rest)
	return e, charged, nil
}

// payAtTheEnd pays what comes with a reply's last token.
func (p Payer) payAtTheEnd(e *rl.Episode, rest float64) {
	first := len(e.Transitions) - 1
	if p.PostBack {
		first = 0
	}
	for i := max(first, 0); i < len(e.Transitions); i++ {
		t := &e.Transitions[i]
		t.Reward += rest * p.discount(t, e.Tokens-1)
	}
}

// discount is that of a reward at a position as seen from a decision.
func (p Payer) discount(t *rl.Transition, position int) float64 {
	return math.Pow(p.Gamma, float64(position-t.Token))
}

// cost is what a decision is charged, q being the LLM's own probability of accepting.
func (p Payer) cost(t *rl.Transition, q float64) float64 {
	cost := 0.0
	if t.Action == sampler.Reject {
		cost = p.RejectionCost
		q = 1 - q
	}
	if p.KLCoef == 0 {
		return cost
	}
	const least = 1e-6
	return cost + p.KLCoef*(max(t.LogProb, math.Log(least))-math.Log(max(q, least)))
}

// conditional follows the candidates of one position after the other.
type conditional struct {
	position int
	left     float64 // probability of T′, the candidates that have not been rejected
}

// accept returns the LLM's own probability of accepting the next candidate.
func (c *conditional) accept(d wire.Decision) float64 {
	if d.Position != c.position {
		*c = conditional{position: d.Position, left: 1}
	}
	q := d.Prob / c.left
	if d.Action == wire.Reject {
		c.left -= d.Prob
	}
	return q
}

// spread says what of a reply's reward is paid at which token, and what is left to be paid at the end.
func (p Payer) spread(r *env.Reply, score float64) (perToken []float64, rest float64, err error) {
	pieces := Pieces(r)
	part := reward.OnPrefixes(p.Reward)
	if part == nil || !p.Dense || len(pieces) == 0 {
		return make([]float64, len(pieces)), score, nil
	}
	trace := reward.Trace{Prompt: r.Prompt.Text, Pieces: pieces}
	if reward.StateLength(part) > 0 {
		trace.States, trace.State = States(r), r.States.Mean // Score has seen that they are there
	}
	if perToken, err = reward.Dense(part, trace); err != nil {
		return nil, 0, err
	}
	// The part is not all of the reward, and where a token's text alone is no valid UTF-8 the pieces do not quite make up the
	// reply.
	rest = score
	for _, x := range perToken {
		rest -= x
	}
	return perToken, rest, nil
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
