package rltest

import (
	"math"
	"math/rand/v2"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// CartPole is Gymnasium's CartPole-v1 (Barto, Sutton and Anderson 1983): accepting
// pushes the cart left, rejecting right, every step pays 1, and after 500 steps, the
// optimum, it is over.
type CartPole struct{}

// CartPoleInputs is the number of features: position, speed, angle, angular speed.
const CartPoleInputs = 4

// CartPoleOptimum is the longest that an episode lasts.
const CartPoleOptimum = 500

// Play plays one episode.
func (CartPole) Play(pi Policy, rng *rand.Rand) rl.Episode {
	var s [CartPoleInputs]float64
	for i := range s {
		s[i] = rng.Float64()*.1 - .05
	}
	e := rl.Episode{}
	for token := 0; token < CartPoleOptimum && math.Abs(s[0]) <= 2.4 && math.Abs(s[2]) <= 12*math.Pi/180; token++ {
		t := rl.Transition{Token: token, Reward: 1, Action: sampler.Accept}
		for _, v := range s {
			t.Features = append(t.Features, float32(v))
		}
		p, force := pi(t.Features), -10.
		if rng.Float64() >= p {
			t.Action, p, force = sampler.Reject, 1-p, 10
		}
		t.LogProb = math.Log(p)
		push(&s, force)
		e.Transitions = append(e.Transitions, t)
		e.Return++
	}
	e.Tokens = len(e.Transitions)
	return e
}

// push is one Euler step of 20 ms: cart 1 kg, pole 0.1 kg and 0.5 m to its centre.
func push(s *[CartPoleInputs]float64, force float64) {
	const gravity, total, pole, half, tau = 9.8, 1.1, .1, .5, .02
	sin, cos := math.Sincos(s[2])
	temp := (force + pole*half*s[3]*s[3]*sin) / total
	angular := (gravity*sin - cos*temp) / (half * (4./3 - pole*cos*cos/total))
	linear := temp - pole*half*angular*cos/total
	s[0] += tau * s[1]
	s[1] += tau * linear
	s[2] += tau * s[3]
	s[3] += tau * angular
}
