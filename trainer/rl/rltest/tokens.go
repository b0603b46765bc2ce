// Package rltest has environments whose optimum is known, for the learning tests of
// the algorithms. It is for tests and for nothing else; one goroutine at a time.
package rltest

import (
	"math"
	"math/rand/v2"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// Tokens is a toy language: a reply of six tokens, each from a pool of two
// candidates of which the first may be rejected for a cost and the second is then
// forced. Four kinds of token exist and a reply is in one of two moods:
//
//	0 pays nothing and lifts the mood
//	1 pays 1 in a lifted mood and −1 otherwise, and ends the mood
//	2 pays 0.25 and ends the mood
//	3 pays −0.25
//
// So what is right depends on what was said before and on how much is left to say.
// The zero value is ready.
type Tokens struct{}

const (
	length     = 6
	kinds      = 4
	rejectCost = .05
)

// TokensInputs is the number of features: kind of the candidate, mood, tokens left.
const TokensInputs = kinds + 2 + length

// Policy is pi(accept) for features.
type Policy func(features []float32) float64

func features(kind, mood, position int) []float32 {
	f := make([]float32, TokensInputs)
	f[kind], f[kinds+mood], f[kinds+2+position] = 1, 1, 1
	return f
}

// say returns what a token of a kind pays in a mood, and the mood after it.
func say(kind, mood int) (reward float64, next int) {
	switch kind {
	case 0:
		return 0, 1
	case 1:
		return float64(2*mood - 1), 0
	case 2:
		return .25, 0
	default:
		return -.25, mood
	}
}

// Play lets a policy make n replies, its actions sampled with rng.
func (Tokens) Play(pi Policy, rng *rand.Rand, n int) []rl.Episode {
	episodes := make([]rl.Episode, n)
	for i := range episodes {
		e, mood := &episodes[i], 0
		for position := range length {
			first := rng.IntN(kinds)
			second := (first + 1 + rng.IntN(kinds-1)) % kinds
			t := rl.Transition{Features: features(first, mood, position), Token: position, Action: sampler.Accept}
			p, kind := pi(t.Features), first
			if rng.Float64() >= p {
				t.Action, p, kind = sampler.Reject, 1-p, second
				t.Reward = -rejectCost
			}
			t.LogProb = math.Log(p)
			var paid float64
			paid, mood = say(kind, mood)
			t.Reward += paid
			e.Return += t.Reward
			e.Transitions = append(e.Transitions, t)
		}
		e.Tokens = length
	}
	return episodes
}

// Value is what a reply earns on average, exactly, when a policy accepts where
// pi(accept) is 0.5 or more, as a served proxy does.
func (Tokens) Value(pi Policy) float64 {
	return value(func(kind, mood, position int, accepting, rejecting float64) float64 {
		if pi(features(kind, mood, position)) >= .5 {
			return accepting
		}
		return rejecting
	})
}

// Optimum is the largest value there is.
func (Tokens) Optimum() float64 {
	return value(func(_, _, _ int, accepting, rejecting float64) float64 { return max(accepting, rejecting) })
}

// value works backwards from the end of a reply. choose returns which of the two
// the decision about a candidate comes to.
func value(choose func(kind, mood, position int, accepting, rejecting float64) float64) float64 {
	var rest [2]float64 // by mood: what the positions from here on earn
	for position := length - 1; position >= 0; position-- {
		var here [2]float64
		for mood := range here {
			for first := range kinds {
				then := func(kind int) float64 {
					paid, next := say(kind, mood)
					return paid + rest[next]
				}
				rejecting := -rejectCost
				for second := range kinds {
					if second != first {
						rejecting += then(second) / (kinds - 1)
					}
				}
				here[mood] += choose(first, mood, position, then(first), rejecting) / kinds
			}
		}
		rest = here
	}
	return rest[0]
}
