package ppo

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl/rltest"
)

// By hand, with a discount of a half a token.
func TestGroupAdvantages(t *testing.T) {
	decision := func(token int, reward float64) rl.Transition { return rl.Transition{Token: token, Reward: reward} }
	advantages, returns := groupAdvantages([]rl.Episode{
		{Prompt: "a", Transitions: []rl.Transition{decision(0, 1), decision(0, 1), decision(1, 4)}}, // 4
		{Prompt: "b", Transitions: []rl.Transition{decision(3, 8)}},                                 // 1, alone
		{Prompt: "a", Transitions: []rl.Transition{decision(2, -8)}},                                // −2
		{Prompt: "a", Transitions: []rl.Transition{decision(0, 1)}},                                 // 1
	}, .5)
	near := cmpopts.EquateApprox(0, 1e-12)
	if diff := cmp.Diff([]float64{3, 3, 3, 0, -3, 0}, advantages, near); diff != "" {
		t.Errorf("advantages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float64{4, 4, 4, 1, -2, 1}, returns, near); diff != "" {
		t.Errorf("returns (-want +got):\n%s", diff)
	}
}

// Groups learn the token environment too; a baseline of the batch instead of the
// group's is the same here, where the prompt says nothing.
func TestGroupsLearn(t *testing.T) {
	optimum := rltest.Tokens{}.Optimum()
	learn := func(seed uint64, rate float64) (best float64) {
		o := smallOptions()
		o.HiddenSizes, o.MinibatchSize, o.Seed, o.LearningRate, o.GroupSize = []int{32}, 256, seed, rate, 10
		a, err := New(rltest.TokensInputs, o)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(seed, 9))
		for range 60 {
			batch := rltest.Tokens{}.Play(a.Accept, rng, 100)
			for i := range batch {
				batch[i].Prompt = string(rune('a' + i/10))
			}
			m, err := a.Update(batch)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.Map()["losses/value_loss"]; ok {
				t.Fatal("there is a value loss without a critic")
			}
			best = max(best, rltest.Tokens{}.Value(a.Accept))
		}
		return best
	}
	if got := learn(1, 1e-2); got < .9*optimum {
		t.Errorf("a reply earns %.3f, the optimum is %.3f", got, optimum)
	}
	if got := learn(1, 0); got > optimum/2 {
		t.Errorf("a reply earns %.3f with learning rate 0, the optimum is %.3f", got, optimum)
	}
}

// A state with a critic and one without do not fit each other's agents.
func TestGroupState(t *testing.T) {
	o := smallOptions()
	with := newAgent(t, o)
	o.GroupSize = 4
	without := newAgent(t, o)
	batch, _ := signBandit(without, rand.New(rand.NewPCG(1, 1)), 20)
	if _, err := without.Update(batch); err != nil {
		t.Fatal(err)
	}
	again, err := FromState(saved(t, without))
	if err != nil {
		t.Fatal(err)
	}
	f := make([]float32, inputs)
	if a, b := without.Accept(f), again.Accept(f); math.Abs(a-b) > 0 {
		t.Errorf("accepts with %v, restored with %v", a, b)
	}
	if err := with.Restore(without.State()); err == nil || !strings.Contains(err.Error(), "group_size") {
		t.Errorf("into an agent with a critic: %v", err)
	}
	if err := without.Restore(with.State()); err == nil || !strings.Contains(err.Error(), "group_size") {
		t.Errorf("into an agent without: %v", err)
	}
}
