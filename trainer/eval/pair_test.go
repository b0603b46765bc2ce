package eval

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// parrot is an Ollama that answers with the model's name and the prompt.
func parrot(t *testing.T) *env.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Model    string
			Messages []prompts.Message
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"message":{"content":%q},"done":true,"eval_count":2,"logprobs":[{"logprob":-1}]}`, in.Model+in.Messages[0].Content)
	}))
	t.Cleanup(s.Close)
	c, err := env.NewClient(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// setting has four prompts, "0" to "3", and a reward that is the number of the prompt, and that fails on replies of which bad is
// a part.
func setting(t *testing.T, maxDropped float64, bad ...string) Setting {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Query, Prompts []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		var rewards []string
		for i, q := range in.Query {
			score := in.Prompts[i]
			for _, b := range bad {
				if strings.Contains(q, b) {
					score = "null"
				}
			}
			rewards = append(rewards, score)
		}
		fmt.Fprintf(w, `{"rewards":[%s]}`, strings.Join(rewards, ","))
	}))
	t.Cleanup(s.Close)
	r, err := reward.New(reward.Spec{Type: reward.TypeHTTP, URL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	out := Setting{Tokens: 4, Parallel: 2, Reward: r, MaxDropped: maxDropped}
	for i := range 4 {
		out.Prompts = append(out.Prompts, prompts.Prompt{Text: fmt.Sprint(i), ID: fmt.Sprintf("id-%d", i)})
	}
	return out
}

// Policies are compared on the prompts on which all of them have a reward.
func TestFailedRewardLeavesThePromptOut(t *testing.T) {
	s, c := setting(t, 0.25, "a1", "b2"), parrot(t)
	var all []*Scores
	for _, name := range []string{"a", "b"} {
		one, err := s.Run(t.Context(), c, Policy{Name: name, Model: name})
		if err != nil {
			t.Fatal(err)
		}
		if len(one.Replies) != 3 || len(one.Rewards) != 3 {
			t.Errorf("%s: %d replies, %d rewards", name, len(one.Replies), len(one.Rewards))
		}
		all = append(all, one)
	}
	if d := cmp.Diff([]int{0, 2, 3}, all[0].Judged); d != "" {
		t.Errorf("judged −want +got\n%s", d)
	}
	paired, err := Pair(all)
	if err != nil {
		t.Fatal(err)
	}
	for k, name := range []string{"a", "b"} {
		p := paired[k]
		if d := cmp.Diff([]float64{0, 3}, p.Rewards); d != "" || len(p.Replies) != 2 || p.Replies[1].Text != name+"3" || p.Policy.Name != name {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if len(all[0].Rewards) != 3 {
		t.Error("Pair changed what it was given")
	}
	summary, err := Summarise(paired[1], paired[0], 100, 1)
	if err != nil || summary.Gain.Mean != 0 || summary.WinRate != 0.5 {
		t.Errorf("%+v, %v", summary, err)
	}
}

func TestFailedRewardsHaveALimit(t *testing.T) {
	for _, tc := range []struct {
		max  float64
		bad  []string
		want string
	}{
		{0, []string{"a2"}, `evaluate a: reward: 1 of 4 replies could not be judged, more than reward_max_dropped 0 allows; the first is to "2"`},
		{0.25, []string{"a2", "a3"}, "2 of 4 replies"},
		{1, []string{"a"}, "evaluate a: no reply could be judged; that to prompt id-0: "},
	} {
		scores, err := setting(t, tc.max, tc.bad...).Run(t.Context(), parrot(t), Policy{Name: "a", Model: "a"})
		if scores != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %+v, %v", tc, scores, err)
		}
	}
	if _, err := Pair([]*Scores{{Judged: []int{1}}, {Judged: []int{2}}}); err == nil {
		t.Error("nothing in common passes")
	}
}
