package rl

import (
	"errors"
	"fmt"
	"math"
)

// Steps is a run of decisions of one or several episodes, in order, as [Steps.GAE]
// takes it. All slices have one element for each decision.
type Steps struct {
	Rewards []float64
	// Values holds V(s) of each decision's own state.
	Values []float64
	// NextValues holds V(s') of the state after each decision. It is not looked
	// at where Terminated is set.
	NextValues []float64
	// Terminated marks decisions after which nothing more can be earned.
	Terminated []bool
	// Ends marks the last decision of each episode, terminated or truncated; the
	// decision after it belongs to another. A terminated decision is an end.
	Ends []bool
	// Tokens is the number of tokens from each decision to the next, 0 for two at
	// the same position. At an end it is the distance to the state that NextValues
	// judges. Nil means 1 everywhere: one decision a token.
	Tokens []int
}

// GAE returns the generalised advantage estimates (Schulman et al. 2016, eq. 16)
// and the returns, advantage + value, that a critic is trained towards. With k
// the tokens from decision t to the next,
//
//	δ_t = r_t + γ^k·V(s_t+1) − V(s_t)
//	A_t = δ_t + (γλ)^k·A_t+1
//
// where V(s_t+1) is 0 after a terminated decision and A_t+1 is 0 after an end.
// It is an error if gamma or lambda lies outside [0, 1], if the slices differ in
// length or if a number of tokens is negative.
func (s Steps) GAE(gamma, lambda float64) (advantages, returns []float64, err error) {
	if err := s.validate(gamma, lambda); err != nil {
		return nil, nil, fmt.Errorf("rl: generalised advantage estimation: %w", err)
	}
	n := len(s.Rewards)
	advantages, returns = make([]float64, n), make([]float64, n)
	next := 0.0 // A of the decision after t
	for t := n - 1; t >= 0; t-- {
		k := 1.0
		if s.Tokens != nil {
			k = float64(s.Tokens[t])
		}
		delta := s.Rewards[t] - s.Values[t]
		if !s.Terminated[t] {
			delta += math.Pow(gamma, k) * s.NextValues[t]
		}
		if s.Ends[t] || s.Terminated[t] {
			next = 0
		}
		next = delta + math.Pow(gamma*lambda, k)*next
		advantages[t] = next
		returns[t] = next + s.Values[t]
	}
	return advantages, returns, nil
}

func (s Steps) validate(gamma, lambda float64) error {
	if !(gamma >= 0 && gamma <= 1) {
		return fmt.Errorf("gamma is %v, want 0 to 1", gamma)
	}
	if !(lambda >= 0 && lambda <= 1) {
		return fmt.Errorf("lambda is %v, want 0 to 1", lambda)
	}
	n := len(s.Rewards)
	if len(s.Values) != n || len(s.NextValues) != n || len(s.Terminated) != n || len(s.Ends) != n {
		return fmt.Errorf("%d rewards, %d values, %d next values, %d terminated and %d ends, want as many of each",
			n, len(s.Values), len(s.NextValues), len(s.Terminated), len(s.Ends))
	}
	if s.Tokens == nil {
		return nil
	}
	if len(s.Tokens) != n {
		return fmt.Errorf("%d token counts for %d decisions, want as many, or none", len(s.Tokens), n)
	}
	for i, k := range s.Tokens {
		if k < 0 {
			return fmt.Errorf("decision %d: %d tokens to the next, want 0 or more", i, k)
		}
	}
	return nil
}

// NewSteps lays episodes out one after the other. values holds V of every
// transition in the same order. Episodes without transitions take no room.
func NewSteps(episodes []Episode, values []float64) (Steps, error) {
	n := 0
	for i := range episodes {
		n += len(episodes[i].Transitions)
	}
	if len(values) != n {
		return Steps{}, fmt.Errorf("rl: lay out episodes: %d values for %d transitions, want one for each", len(values), n)
	}
	s := Steps{
		Rewards: make([]float64, 0, n), Values: values, NextValues: make([]float64, n),
		Terminated: make([]bool, n), Ends: make([]bool, n), Tokens: make([]int, n),
	}
	for i := range episodes {
		ts := episodes[i].Transitions
		for j := range ts {
			at := len(s.Rewards)
			s.Rewards = append(s.Rewards, ts[j].Reward)
			if j == len(ts)-1 {
				s.Terminated[at], s.Ends[at] = true, true
				continue
			}
			s.NextValues[at] = values[at+1]
			s.Tokens[at] = ts[j+1].Token - ts[j].Token
		}
	}
	return s, nil
}

// ErrNoDecisions says that a batch has no transition at all: every token was
// forced, so there was nothing to learn from. A smaller p_t, a higher
// temperature or a larger top-k gives the proxy more to decide.
var ErrNoDecisions = errors.New("no decision in the batch: every token was forced; lower p_t, or raise the temperature or top-k")
