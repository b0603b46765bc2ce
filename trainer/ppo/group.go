package ppo

import (
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// groupAdvantages returns the package comment's advantages of a group, and the
// returns G, one of each for every transition in order. Until the first decision all
// replies to a prompt are the same, so that what is paid until then, which no
// transition holds, is the same in each G and cancels.
func groupAdvantages(episodes []rl.Episode, gamma float64) (advantages, returns []float64) {
	type group struct{ sum, n float64 }
	groups := map[string]*group{}
	earned := make([]float64, len(episodes))
	for i := range episodes {
		e := &episodes[i]
		for _, t := range e.Transitions {
			earned[i] += math.Pow(gamma, float64(t.Token)) * t.Reward
		}
		g := groups[e.Prompt]
		if g == nil {
			g = &group{}
			groups[e.Prompt] = g
		}
		g.sum += earned[i]
		g.n++
	}
	for i := range episodes {
		g := groups[episodes[i].Prompt]
		for range episodes[i].Transitions {
			advantages = append(advantages, earned[i]-g.sum/g.n)
			returns = append(returns, earned[i])
		}
	}
	return advantages, returns
}
