package eval

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
)

func TestSummarise(t *testing.T) {
	base := anyOf(scores(NameGreedy, 0, []float64{0, 1, 2, 3}, nil))
	proxy := anyOf(scores(NameProxy, 0, []float64{1, 2, 3, 3}, &wire.Stats{Accepted: 3, Forced: 1, Rejected: 2, Forwards: 6}))
	got, err := proxy.summarise(base, nil, 2000, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]float64{
		"reward":     {got.Reward.Mean, 2.25},
		"gain":       {got.Gain.Mean, 0.75},
		"win rate":   {got.WinRate, 0.875}, // the tie counts half
		"tokens":     {got.Tokens, 4},
		"perplexity": {got.Perplexity, math.E},
		"rejections": {got.Rejections, 0.5},
		"forwards":   {got.Forwards, 1.5},
		"cost":       {got.Cost.Forwards, 6},
		"prompt":     {got.Cost.Prompt, 10},
		"tokens/s":   {got.TokensPerSecond, 8},
		"distinct-1": {got.Distinct1, 1.0 / 2},
		"distinct-2": {got.Distinct2, 2.0 / 3},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-12 {
			t.Errorf("%s is %g, want %g", name, pair[0], pair[1])
		}
	}
	if !(got.Gain.Low > 0 && got.Gain.Low < 0.75 && got.Gain.High <= 1) {
		t.Errorf("gain %s", got.Gain)
	}
	if iv := got.WinRateInterval; iv.Mean != got.WinRate || !(iv.Low < iv.Mean) || iv.High > 1 {
		t.Errorf("win rate %s", iv)
	}
	own, err := base.summarise(base, nil, 100, 1)
	if err != nil || own.Gain.Low != 0 || own.Gain.High != 0 || own.WinRate != 0.5 || own.Forwards != 1 {
		t.Errorf("the baseline against itself: %+v, %v", own, err)
	}
}

func TestSummariseWithoutLogProbsIsAnError(t *testing.T) {
	s := scores("x", 0, []float64{1}, nil)
	s.Replies[0].LogProbs = nil
	if _, err := anyOf(s).summarise(anyOf(s), nil, 10, 1); err == nil || !strings.Contains(err.Error(), "evaluate x") {
		t.Errorf("%v: a perplexity of nothing passed for a number", err)
	}
}

// texts are scores of two draws to each of two prompts that differ in everything.
func texts() *Scores {
	return &Scores{
		Policy: Policy{Name: NameSampling, Draws: 2}, Wall: time.Second,
		Replies: []env.Reply{
			{Text: "I cannot help.", Tokens: 2, PromptTokens: 6, LogProbs: []float64{-1, -1}},
			{Text: "It rains. It rains.", Tokens: 4, PromptTokens: 6, LogProbs: []float64{-2, -2, -2, -2}},
			{Text: "x", Tokens: 1, PromptTokens: 8, LogProbs: []float64{-3}},
			{Text: "A b. A b. A b.", Tokens: 5, LogProbs: []float64{-4, -4, -4, -4, -4}, DoneReason: env.DoneCut},
		},
		Rewards:  []float64{0, 1, 5, 3},
		Rewards2: []float64{10, 20, 30, 40},
	}
}

// What is said of best-of-n is the mean over the subsets: of one draw of two, all four replies count alike; of two, the second
// and the third are chosen.
func TestSummariseBestOf(t *testing.T) {
	base := scores(NameGreedy, 0, []float64{0.5, 4}, nil)
	base.Rewards2 = []float64{15, 30}
	draws := anyOf(texts())
	guard := 2.5
	type figures struct {
		Reward, Gain, Wins, Reward2, Gain2, Tokens, Perplexity, Guard, Distinct1, Distinct2, Repeated, Refusals, Cut, Forwards, Cost, Prompt, Speed float64
	}
	for n, want := range map[int]figures{
		1: {
			Reward: 2.25, Gain: 0, Wins: .5, Reward2: 25, Gain2: 2.5, Tokens: 3, Perplexity: math.Exp(33. / 12), Guard: .5,
			Distinct1: (1 + .5 + 1 + 1./3) / 4, Distinct2: (1 + 2./3 + .4) / 3, // the reply of one word has no pair
			Repeated: 3. / 7, Refusals: .25, Cut: .25,
			Forwards: 1, Cost: 7. / 3, Prompt: 20. / 3, Speed: 12,
		},
		2: {
			Reward: 3, Gain: .75, Wins: 1, Reward2: 25, Gain2: 2.5, Tokens: 2.5, Perplexity: math.Exp(11. / 5), Guard: .5,
			Distinct1: .75, Distinct2: 2. / 3, Repeated: 1. / 3, Refusals: 0, Cut: 0,
			Forwards: 14. / 3 / 2.5, Cost: 14. / 3, Prompt: 20./3 + 1, Speed: 5,
		},
	} {
		chosen, err := draws.bestOf(n, "best")
		if err != nil {
			t.Fatal(err)
		}
		s, err := chosen.summarise(anyOf(base), &guard, 100, 1)
		if err != nil {
			t.Fatal(err)
		}
		got := figures{
			s.Reward.Mean, s.Gain.Mean, s.WinRate, s.Second.Reward.Mean, s.Second.Gain.Mean, s.Tokens, s.Perplexity, *s.TextGuard,
			s.Distinct1, s.Distinct2, s.RepeatedSentences, s.Refusals, s.CutOff, s.Forwards, s.Cost.Forwards, s.Cost.Prompt, s.TokensPerSecond,
		}
		if diff := cmp.Diff(want, got, near); diff != "" {
			t.Errorf("best of %d (-want +got):\n%s", n, diff)
		}
	}
}

// The best of one is the policy itself, and more draws never lower the reward; the win rate rises with it.
func TestBestOfProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		draws, prompts := 1+rng.IntN(8), 1+rng.IntN(5)
		rewards, greedy := make([]float64, draws*prompts), make([]float64, prompts)
		for i := range rewards {
			rewards[i] = float64(rng.IntN(5))
		}
		for i := range greedy {
			greedy[i] = float64(rng.IntN(5))
		}
		base, any := anyOf(scores(NameGreedy, 0, greedy, nil)), anyOf(scores("s", draws, rewards, nil))
		last, err := any.summarise(base, nil, 10, 1)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= draws; n++ {
			chosen, err := any.bestOf(n, "s")
			if err != nil {
				t.Fatal(err)
			}
			got, err := chosen.summarise(base, nil, 10, 1)
			if err != nil {
				t.Fatal(err)
			}
			if n == 1 {
				if diff := cmp.Diff(last, got, near); diff != "" {
					t.Fatalf("best of 1 (-sampling +got):\n%s", diff)
				}
			}
			if got.Reward.Mean < last.Reward.Mean-1e-12 || got.WinRate < last.WinRate-1e-12 {
				t.Fatalf("best of %d: reward %v, win rate %v; of one less %v, %v", n, got.Reward.Mean, got.WinRate, last.Reward.Mean, last.WinRate)
			}
			last = got
		}
	}
}
