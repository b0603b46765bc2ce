package rl

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

func approx(tolerance float64) cmp.Option { return cmpopts.EquateApprox(0, tolerance) }

// The numbers are tianshou's, test/base/test_returns.py.
func TestGAEPublished(t *testing.T) {
	base := Steps{
		Rewards:    []float64{101, 102, 103, 200, 104, 105, 106, 201, 107, 108, 109, 202},
		Values:     []float64{-3, 2, 3, 4, -1, 5, 6, 7, -2, 8, 9, 10},
		NextValues: []float64{2, 3, 4, -1, 5, 6, 7, -2, 8, 9, 10, -3},
	}
	marks := func(at ...int) []bool {
		b := make([]bool, 12)
		for _, i := range at {
			b[i] = true
		}
		return b
	}
	for name, tc := range map[string]struct {
		terminated []bool
		want       []float64
	}{
		"terminated": {marks(3, 7, 11), []float64{454.8345, 376.1143, 291.298, 200, 464.561, 383.1085, 295.387, 201, 474.2876, 390.1027, 299.476, 202}},
		"truncated":  {marks(11), []float64{454.0109, 375.2386, 290.3669, 199.01, 462.9138, 381.3571, 293.5248, 199.02, 474.2876, 390.1027, 299.476, 202}},
	} {
		t.Run(name, func(t *testing.T) {
			s := base
			s.Terminated, s.Ends = tc.terminated, marks(3, 7, 11)
			adv, got, err := s.GAE(.99, .95)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, approx(1e-4)); diff != "" {
				t.Errorf("returns (-want +got):\n%s", diff)
			}
			for i := range adv {
				if math.Abs(adv[i]+s.Values[i]-got[i]) > 1e-9 {
					t.Errorf("return %d is not advantage + value", i)
				}
			}
		})
	}
}

func TestGAEOneTerminalReward(t *testing.T) {
	for _, tc := range []struct{ value, gamma, lambda, want float64 }{
		{0, 1, .9, .001310021},
		{0, .99, 1, .530905543},
		{1, 1, .9, 0},
		{1, .99, 1, -.469094457},
		{1, .99, .9, -.091679312},
	} {
		e := Episode{Transitions: make([]Transition, 64)}
		values := make([]float64, 64)
		for i := range values {
			e.Transitions[i].Token = i
			values[i] = tc.value
		}
		e.Transitions[63].Reward = 1
		s, err := NewSteps([]Episode{e}, values)
		if err != nil {
			t.Fatal(err)
		}
		adv, _, err := s.GAE(tc.gamma, tc.lambda)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(adv[0]-tc.want) > 1e-9 {
			t.Errorf("V %v, γ %v, λ %v: A[0] = %.9f, want %.9f", tc.value, tc.gamma, tc.lambda, adv[0], tc.want)
		}
	}
}

// Rejecting first must not change how far away a reward is.
func TestGAECountsTokensNotDecisions(t *testing.T) {
	const gamma, lambda = .9, .8
	advantage := func(tokens ...int) []float64 {
		e := Episode{}
		for _, k := range tokens {
			e.Transitions = append(e.Transitions, Transition{Token: k})
		}
		e.Transitions[len(tokens)-1].Reward = 1
		s, err := NewSteps([]Episode{e}, make([]float64, len(tokens)))
		if err != nil {
			t.Fatal(err)
		}
		adv, _, err := s.GAE(gamma, lambda)
		if err != nil {
			t.Fatal(err)
		}
		return adv
	}
	gl := gamma * lambda
	for _, tc := range []struct {
		tokens []int
		want   []float64
	}{
		{[]int{0, 1}, []float64{gl, 1}},
		{[]int{0, 0, 0, 1}, []float64{gl, gl, gl, 1}},
		{[]int{2, 7, 7}, []float64{math.Pow(gl, 5), 1, 1}},
	} {
		if diff := cmp.Diff(tc.want, advantage(tc.tokens...), approx(1e-12)); diff != "" {
			t.Errorf("tokens %v (-want +got):\n%s", tc.tokens, diff)
		}
	}
}

// With λ 1 the returns are the discounted sums whatever the values say, and with
// λ 0 the advantage is the one-step error.
func TestGAEProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	var episodes []Episode
	var values []float64
	for range 20 {
		e := Episode{}
		for token, n := 0, rng.IntN(9); n > 0; n-- {
			e.Transitions = append(e.Transitions, Transition{Token: token, Reward: rng.NormFloat64()})
			values = append(values, rng.NormFloat64())
			token += rng.IntN(3)
		}
		episodes = append(episodes, e)
	}
	s, err := NewSteps(episodes, values)
	if err != nil {
		t.Fatal(err)
	}
	const gamma = .97
	_, returns, err := s.GAE(gamma, 1)
	if err != nil {
		t.Fatal(err)
	}
	oneStep, _, err := s.GAE(gamma, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, e := range episodes {
		for i, from := range e.Transitions {
			want := 0.0
			for _, later := range e.Transitions[i:] {
				want += math.Pow(gamma, float64(later.Token-from.Token)) * later.Reward
			}
			if math.Abs(returns[at]-want) > 1e-9 {
				t.Fatalf("return of decision %d is %v, want %v", at, returns[at], want)
			}
			last := i == len(e.Transitions)-1
			if last || e.Transitions[i+1].Token != from.Token {
				delta := from.Reward - values[at]
				if !last {
					delta += math.Pow(gamma, float64(e.Transitions[i+1].Token-from.Token)) * values[at+1]
				}
				if math.Abs(oneStep[at]-delta) > 1e-9 {
					t.Fatalf("one-step advantage of decision %d is %v, want %v", at, oneStep[at], delta)
				}
			}
			at++
		}
	}
}

func TestGAEErrors(t *testing.T) {
	ok := func() Steps {
		return Steps{Rewards: []float64{1}, Values: []float64{1}, NextValues: []float64{1}, Terminated: []bool{true}, Ends: []bool{true}, Tokens: []int{0}}
	}
	for _, tc := range []struct {
		name          string
		change        func(*Steps)
		gamma, lambda float64
		want          string
	}{
		{"gamma", func(*Steps) {}, 1.1, 1, "gamma"},
		{"lambda", func(*Steps) {}, 1, math.NaN(), "lambda"},
		{"lengths", func(s *Steps) { s.Ends = nil }, 1, 1, "0 ends"},
		{"token counts", func(s *Steps) { s.Tokens = []int{1, 2} }, 1, 1, "token counts"},
		{"negative tokens", func(s *Steps) { s.Tokens[0] = -1 }, 1, 1, "decision 0"},
	} {
		s := ok()
		tc.change(&s)
		if _, _, err := s.GAE(tc.gamma, tc.lambda); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one about %q", tc.name, err, tc.want)
		}
	}
	if _, err := NewSteps([]Episode{{Transitions: make([]Transition, 2)}}, []float64{1}); err == nil {
		t.Error("one value for two transitions is no error")
	}
}

// The three estimators worked out by hand, to the digits shown.
func TestEstimateKL(t *testing.T) {
	got := EstimateKL([]float64{-.1, .1, -.1, .1, -.1, .2})
	want := KL{K1: -.0166667, K2: .0075, K3: .00770947}
	if diff := cmp.Diff(want, got, approx(5e-8)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := EstimateKL(nil); got != (KL{}) {
		t.Errorf("without samples: %+v, want zeros", got)
	}
}

func TestRunningAgainstTwoPasses(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	xs := make([][]float32, 500)
	var all, left, right Running
	for i := range xs {
		// A mean far from 0 is where the naive sum of squares loses its digits.
		xs[i] = []float32{float32(1e4 + rng.NormFloat64()), float32(rng.NormFloat64()), 3}
		half := &left
		if i >= 123 {
			half = &right
		}
		for _, r := range []*Running{&all, half} {
			if err := r.Push(xs[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := left.Merge(right); err != nil {
		t.Fatal(err)
	}
	want := Running{Count: 500, Mean: make([]float64, 3), M2: make([]float64, 3)}
	for i := range 3 {
		for _, x := range xs {
			want.Mean[i] += float64(x[i]) / 500
		}
		for _, x := range xs {
			want.M2[i] += math.Pow(float64(x[i])-want.Mean[i], 2)
		}
	}
	for name, got := range map[string]Running{"one by one": all, "merged": left} {
		if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 1e-9)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := all.Scale(2); got != 1 {
		t.Errorf("scale of a constant is %v, want 1", got)
	}
	if got, want := all.Scale(1), math.Sqrt(all.Variance(1)); got != want {
		t.Errorf("scale is %v, want the deviation %v", got, want)
	}
}

func TestRunningStateContinuesBitEqual(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	var r, restored Running
	push := func(rs ...*Running) {
		x := []float32{rng.Float32(), rng.Float32()}
		for _, r := range rs {
			if err := r.Push(x); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 50 {
		push(&r)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &restored); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		push(&r, &restored)
	}
	if diff := cmp.Diff(r, restored); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRunningMergeAndClone(t *testing.T) {
	var empty, r Running
	if err := r.Push([]float32{1, 2}); err != nil {
		t.Fatal(err)
	}
	if err := empty.Merge(r); err != nil {
		t.Fatal(err)
	}
	if err := empty.Push([]float32{3, 4}); err != nil {
		t.Fatal(err)
	}
	if r.Mean[0] != 1 || empty.Mean[0] != 2 {
		t.Errorf("means are %v and %v, want 1 and 2: merging into nothing must copy", r.Mean[0], empty.Mean[0])
	}
	if err := r.Merge(Running{}); err != nil || r.Count != 1 {
		t.Errorf("merging nothing: count %d, error %v", r.Count, err)
	}
	if err := r.Push([]float32{1}); err == nil {
		t.Error("a shorter vector is no error")
	}
	if err := r.Merge(Running{Count: 1, Mean: []float64{1}, M2: []float64{0}}); err == nil {
		t.Error("merging another length is no error")
	}
}

func TestEpisodeValidate(t *testing.T) {
	nan32 := float32(math.NaN())
	for _, tc := range []struct {
		name   string
		change func(*Transition)
		want   string // "" for no error
	}{
		{"valid", func(*Transition) {}, ""},
		{"features", func(t *Transition) { t.Features = nil }, "transition 1 has 0 features"},
		{"feature", func(t *Transition) { t.Features[1] = nan32 }, "feature 1"},
		{"action", func(t *Transition) { t.Action = 2 }, "action"},
		{"reward", func(t *Transition) { t.Reward = math.Inf(1) }, "reward"},
		{"certain", func(t *Transition) { t.LogProb = 0 }, ""},
		{"probability", func(t *Transition) { t.LogProb = .1 }, "log-probability"},
		{"impossible", func(t *Transition) { t.LogProb = math.Inf(-1) }, "log-probability"},
		{"position", func(t *Transition) { t.Token = 3 }, "position is 3 after 4"},
	} {
		e := Episode{Transitions: []Transition{
			{Features: []float32{1, 2}, LogProb: -.5, Token: 4},
			{Features: []float32{1, 2}, LogProb: -.5, Token: 4, Action: sampler.Reject},
		}}
		tc.change(&e.Transitions[1])
		err := e.Validate(2)
		if (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}
