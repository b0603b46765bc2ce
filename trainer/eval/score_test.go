package eval

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// picky gives a reply its number of letters e, and fails on those that contain one of its words.
type picky []string

func (p picky) Score(_ context.Context, samples []reward.Sample) ([]float64, error) {
	var some reward.PartialError
	for i, s := range samples {
		err := error(nil)
		for _, word := range p {
			if strings.Contains(s.Reply, word) {
				err = errScorer
			}
		}
		if err != nil {
			some.Failures = append(some.Failures, reward.Failure{Sample: i, Err: err})
			continue
		}
		some.Scores = append(some.Scores, float64(strings.Count(s.Reply, "e")))
	}
	if len(some.Failures) > 0 {
		return nil, &some
	}
	return some.Scores, nil
}

// parrots say their name and the prompt; samples say which draw of all they are, too.
func parrots(t *testing.T, s Setting, policies ...Policy) []*Scores {
	t.Helper()
	c, _ := fake(t, func(c call) answer {
		seed, _ := c.Options["seed"].(float64)
		return answer{text: fmt.Sprint(c.Model, " ", c.last(), " ", int(seed)), nll: 1}
	})
	var out []*Scores
	for _, p := range policies {
		scores, err := s.Run(t.Context(), c, p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, scores)
	}
	return out
}

// All policies are compared on the prompts on which all of them have their rewards, with all draws of a prompt or none.
func TestFailedRewardsLeavePromptsOut(t *testing.T) {
	s := Setting{Prompts: somePrompts(8), Tokens: 4, Parallel: 2, Seed: 3, MaxDropped: 0.25}
	bad := fmt.Sprintf("s prompt 6 %d", drawSeed(3, 6, 1))
	s.Reward, s.Reward2 = picky{"g prompt 1", bad}, picky{"p prompt 3", "p prompt 1"}
	runs := parrots(t, s, Greedy("g"), Sampling("s", 1, 1, 0, 3), Proxied("p"))
	for i, want := range [][]int{{0, 2, 3, 4, 5, 6, 7}, {0, 1, 2, 3, 4, 5, 7}, {0, 2, 4, 5, 6, 7}} {
		if d := cmp.Diff(want, runs[i].Judged); d != "" || len(runs[i].Rewards) != len(want)*runs[i].draws() {
			t.Errorf("%s: %d rewards, judged −want +got\n%s", runs[i].Policy.Name, len(runs[i].Rewards), d)
		}
	}
	c, err := Comparison{Greedy: runs[0], Sampling: runs[1], Proxy: runs[2], BestOf: []int{2}, Resamples: 50}.Paired()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []*Scores{c.Greedy, c.Sampling, c.Proxy} {
		for i, r := range one.Replies {
			want := fmt.Sprintf("%s prompt %d ", one.Policy.Model, []int{0, 2, 4, 5, 7}[i/one.draws()])
			if e := float64(strings.Count(r.Text, "e")); !strings.HasPrefix(r.Text, want) || one.Rewards[i] != e || one.Rewards2[i] != e {
				t.Errorf("reply %d is %q of rewards %v, %v; want %q", i, r.Text, one.Rewards[i], one.Rewards2[i], want)
			}
		}
	}
	e, err := c.Evaluate()
	if err != nil {
		t.Fatal(err)
	}
	if e.Prompts != 5 || e.Dropped != 3 || e.BestOf[0].Gain.Mean != 0 {
		t.Errorf("%d prompts, %d dropped, best of 2 gains %v", e.Prompts, e.Dropped, e.BestOf[0].Gain)
	}
	if len(runs[0].Rewards) != 7 {
		t.Error("Paired changed what it was given")
	}
}

// The terms of a reward keep to the replies that they are of, over several calls of it.
func TestTermsOfManyReplies(t *testing.T) {
	r, err := reward.New(reward.Spec{Type: reward.TypeSum, Terms: []reward.Spec{
		{Type: reward.TypeLength, Unit: reward.UnitCharacters}, {Name: "e", Type: reward.TypeRegexp, Pattern: "e", PerMatch: 2},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := Setting{Prompts: somePrompts(300), Tokens: 4, Parallel: 4, Reward: r}
	got := parrots(t, s, Proxied("e"))[0]
	if len(got.Terms) != 2 || got.Terms[1].Name != "e" {
		t.Fatalf("terms %+v", got.Terms)
	}
	for i, reply := range got.Replies {
		length, es := float64(len(reply.Text)), 2*float64(strings.Count(reply.Text, "e"))
		if got.Terms[0].Scores[i] != length || got.Terms[1].Scores[i] != es || got.Rewards[i] != length+es {
			t.Fatalf("reply %d, %q: %v + %v = %v", i, reply.Text, got.Terms[0].Scores[i], got.Terms[1].Scores[i], got.Rewards[i])
		}
	}
}

func TestFailedRewardsHaveALimit(t *testing.T) {
	for _, tc := range []struct {
		max  float64
		bad  picky
		want string
	}{
		{0, picky{"prompt 2"}, "evaluate base greedy: the reward failed on replies to 1 of 4 prompts, and reward_max_dropped is 0; the first is to prompt 2: "},
		{0.25, picky{"prompt 2", "prompt 3"}, "2 of 4 prompts"},
		{1, picky{"prompt"}, "4 of 4 prompts"},
	} {
		c, _ := fake(t, func(c call) answer { return answer{text: c.last(), nll: 1} })
		scores, err := Setting{Prompts: somePrompts(4), Parallel: 1, Reward: tc.bad, MaxDropped: tc.max}.Run(t.Context(), c, Greedy("g"))
		if scores != nil || !errors.Is(err, errScorer) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %+v, %v", tc, scores, err)
		}
	}
	one := func(i int) *Scores { return &Scores{Judged: []int{i}, Asked: 2} }
	if _, err := (Comparison{Greedy: one(0), Proxy: one(1)}).Paired(); err == nil {
		t.Error("nothing in common passes")
	}
}
