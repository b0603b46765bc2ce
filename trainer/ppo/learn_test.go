package ppo

import (
	"math/rand/v2"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl/rltest"
)

// The optimum of a token environment, three seeds. As in a run, the policy that
// counts is the best by evaluation.
func TestLearnsTheTokens(t *testing.T) {
	optimum := rltest.Tokens{}.Optimum()
	learn := func(seed uint64, rate float64) (best float64) {
		o := smallOptions()
		o.HiddenSizes, o.MinibatchSize, o.Seed, o.LearningRate, o.EntCoef = []int{32}, 256, seed, rate, .03
		o.InitialAccept, o.GAELambda = .6, .95
		a, err := New(rltest.TokensInputs, o)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(seed, 8))
		for range 60 {
			if _, err := a.Update(rltest.Tokens{}.Play(a.Accept, rng, 100)); err != nil {
				t.Fatal(err)
			}
			if best = max(best, rltest.Tokens{}.Value(a.Accept)); best > .97*optimum {
				break
			}
		}
		return best
	}
	for _, seed := range []uint64{1, 2, 3} {
		if got := learn(seed, 1e-2); got < .95*optimum {
			t.Errorf("seed %d: a reply earns %.3f after 6,000, the optimum is %.3f", seed, got, optimum)
		} else {
			t.Logf("seed %d: %.4f of %.4f", seed, got, optimum)
		}
	}
	if got := learn(1, 0); got > optimum/2 {
		t.Errorf("a reply earns %.3f with learning rate 0, the optimum is %.3f: the environment gives itself away", got, optimum)
	}
}

// CartPole-v1 within 100,000 steps, as SB3's zoo has it. What counts is how long the
// pole stands while the policy explores, in the mean of a batch: 400 of 500 steps,
// where an untrained one has 20. (The likelier action of an untrained one is a linear
// policy, which may hold the pole by luck.)
func TestLearnsCartPole(t *testing.T) {
	learn := func(seed uint64, rate float64, budget int) (best float64, steps int) {
		o := DefaultOptions()
		o.HiddenSizes, o.MinibatchSize, o.Seed, o.Activation = []int{32}, 256, seed, proxy.Tanh
		o.LearningRate, o.CriticLearningRate, o.InitialAccept = rate, 1e-2, .5
		o.Gamma, o.GAELambda, o.Epochs, o.EntCoef = .98, .8, 6, 0
		a, err := New(rltest.CartPoleInputs, o)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(seed, 5))
		for steps < budget && best < 400 {
			var batch []rl.Episode
			n := 0
			for n < 1500 {
				e := rltest.CartPole{}.Play(a.Accept, rng)
				n += len(e.Transitions)
				batch = append(batch, e)
			}
			if _, err := a.Update(batch); err != nil {
				t.Fatal(err)
			}
			steps += n
			best = max(best, float64(n)/float64(len(batch)))
		}
		return best, steps
	}
	for _, seed := range []uint64{1, 2, 3} {
		best, steps := learn(seed, 3e-3, 100_000)
		if best < 400 {
			t.Errorf("seed %d: the pole stands for %.0f steps after %d, want 400", seed, best, steps)
		} else {
			t.Logf("seed %d: %.0f after %d steps", seed, best, steps)
		}
	}
	if best, _ := learn(1, 0, 15_000); best > 60 {
		t.Errorf("the pole stands for %.0f steps with learning rate 0", best)
	}
}
