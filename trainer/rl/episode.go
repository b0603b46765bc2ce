package rl

import (
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// Transition is one decision at which rejecting was allowed. Forced tokens are
// not decisions and have no transition.
type Transition struct {
	// Features is what the policy saw. Its length is the proxy's input length.
	Features []float32
	// Action is what was done with the candidate.
	Action sampler.Action
	// LogProb is log pi(Action|Features) of the policy that acted: the natural
	// logarithm of a probability, at most 0.
	LogProb float64
	// Token is the position in the reply, counted from 0. It never falls within
	// an episode and stays the same while candidates of one position are rejected.
	Token int
	// Reward is all that is paid from this decision until the next one, its own
	// costs and the rewards of the forced tokens in between included. Whoever
	// builds the episode adds those up and, with gamma below 1, discounts each to
	// this decision's position. What is paid before the first decision is no
	// decision's doing and belongs nowhere.
	Reward float64
}

// Episode is one reply. The reply is over after its last decision, whether it
// ended by itself or was cut at a limit: the reward judged the text as it is, so
// no value is bootstrapped behind it.
type Episode struct {
	// Transitions are in the order in which the decisions were made. There are
	// none if every token was forced.
	Transitions []Transition
	// Return is what the episode is reported with. It is not used for learning,
	// which sees the transitions' rewards only, so costs may be left out of it.
	Return float64
	// Tokens is the length of the reply in tokens.
	Tokens int
	// Prompt names what was replied to: episodes of one name are replies to one
	// prompt. Empty where that does not matter.
	Prompt string
	// Policy is the digest of the proxy that made all decisions of the reply, or
	// empty where that is not known.
	Policy string
}

// Validate returns an error that names the transition and the field if the
// episode cannot be learnt from: a wrong number of features, a number that is
// not finite, an unknown action, a positive log-probability, or falling positions.
func (e *Episode) Validate(inputLength int) error {
	last := 0
	for i := range e.Transitions {
		t := &e.Transitions[i]
		if len(t.Features) != inputLength {
			return fmt.Errorf("transition %d has %d features, want %d", i, len(t.Features), inputLength)
		}
		for j, f := range t.Features {
			if f-f != 0 {
				return fmt.Errorf("transition %d: feature %d is %v, want a finite number", i, j, f)
			}
		}
		switch {
		case t.Action != sampler.Accept && t.Action != sampler.Reject:
			return fmt.Errorf("transition %d: action is %v, want accept or reject", i, t.Action)
		case !finite(t.Reward):
			return fmt.Errorf("transition %d: reward is %v, want a finite number", i, t.Reward)
		case !finite(t.LogProb) || t.LogProb > 0:
			return fmt.Errorf("transition %d: log-probability is %v, want a finite number of at most 0", i, t.LogProb)
		case t.Token < last:
			return fmt.Errorf("transition %d: token position is %d after %d, want positions that do not fall", i, t.Token, last)
		}
		last = t.Token
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
