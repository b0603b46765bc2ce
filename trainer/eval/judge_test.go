package eval

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// shownReplies are the replies of a question to the judge.
func shownReplies(question string) (a, b string) {
	between := func(from, to string) string {
		_, rest, _ := strings.Cut(question, from)
		text, _, _ := strings.Cut(rest, to)
		return text
	}
	return between("<reply_A>\n", "\n</reply_A>"), between("<reply_B>\n", "\n</reply_B>")
}

// The verdicts on (ours, theirs) and (theirs, ours), and what becomes of the pair.
func TestJudgeBothOrders(t *testing.T) {
	for _, c := range []struct {
		name                  string
		oursFirst, oursSecond string
		want                  Judgement
	}{
		{"better both times", `{"better":"A"}`, `{"better":"B"}`, Judgement{Wins: 1, WinRate: stats.Interval{Mean: 1, Low: 1, High: 1}}},
		{"worse both times", `{"better":"B"}`, `{"better":"A"}`, Judgement{Losses: 1}},
		{"always A", `{"better":"A"}`, `{"better":"A"}`, Judgement{Ties: 1, Flips: 1}},
		{"always B", `{"better":"B"}`, `{"better":"B"}`, Judgement{Ties: 1, Flips: 1}},
		{"a tie both times", `{"better":"tie"}`, `{"better":"tie"}`, Judgement{Ties: 1}},
		{"better once, a tie once", `{"better":"A"}`, `{"better":"tie"}`, Judgement{Ties: 1}},
		{"white space", " {\"better\": \"A\"}\n", `{"better":"B"}`, Judgement{Wins: 1, WinRate: stats.Interval{Mean: 1, Low: 1, High: 1}}},
		{"will not, once", `{"better":"A"}`, `{"better":"none"}`, Judgement{Refusals: 1}},
		{"no JSON", `I'd say A`, `{"better":"B"}`, Judgement{Refusals: 1}},
		{"half an answer", `{"better":`, `{"better":"B"}`, Judgement{Refusals: 1}},
		{"another word", `{"better":"C"}`, `{"better":"B"}`, Judgement{Refusals: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, calls := fake(t, func(got call) answer {
				switch a, b := shownReplies(got.last()); {
				case a == "ours" && b == "theirs":
					return answer{text: c.oursFirst, prompt: 100}
				case a == "theirs" && b == "ours":
					return answer{text: c.oursSecond, prompt: 100}
				}
				t.Errorf("the judge is shown\n%s", got.last())
				return answer{}
			})
			if c.want.Ties > 0 {
				c.want.WinRate = stats.Interval{Mean: .5, Low: .5, High: .5}
			}
			j := Judge{Client: client, Model: "judge", Rubric: "Be brief.", Context: 1000, Parallel: 1}
			got, err := j.Compare(context.Background(), []Pair{{Prompt: prompts.Prompt{Text: "Hi?", ID: "1"}, Ours: "ours", Theirs: "theirs"}}, 10, 1)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			one := (*calls)[0]
			var schema struct {
				Properties struct{ Better struct{ Enum []string } }
			}
			if err := json.Unmarshal(one.Format, &schema); err != nil || len(schema.Properties.Better.Enum) != 4 {
				t.Errorf("format %s: %v", one.Format, err)
			}
			if one.Model != "judge" || len(one.Messages) != 2 || !strings.HasPrefix(one.Messages[0].Content, "Be brief.") ||
				!strings.Contains(one.last(), "<prompt>\nHi?\n</prompt>") || one.Options["temperature"] != 0. || one.Options["num_ctx"] != 1000. ||
				one.Think == nil || *one.Think {
				t.Errorf("the judge is asked %+v", one)
			}
		})
	}
}

func TestJudgeOfPairs(t *testing.T) {
	progress := 0
	client, calls := fake(t, func(c call) answer {
		// The one that has more of x in it is better; of z the judge does not speak, and y is too long to be shown whole.
		a, b := shownReplies(c.last())
		switch {
		case strings.Contains(a+b, "z"):
			return answer{text: `{"better":"none"}`, prompt: 100}
		case strings.Contains(a+b, "y"):
			return answer{text: `{"better":"A"}`, prompt: 1000 - judgeTokens + 1}
		case strings.Contains(a+b, "cut"):
			return answer{text: `{"better":"A"}`[:9], cut: true}
		case strings.Count(a, "x") > strings.Count(b, "x"):
			return answer{text: `{"better":"A"}`, prompt: 100}
		}
		return answer{text: `{"better":"B"}`, prompt: 1000 - judgeTokens}
	})
	j := Judge{Client: client, Model: "judge", Context: 1000, Parallel: 4, Progress: func() { progress++ }}
	pairs := []Pair{
		{Ours: "xx", Theirs: "x"}, {Ours: "xxx", Theirs: "x"}, {Ours: "x", Theirs: "xx"}, {Ours: "x", Theirs: "x"},
		{Ours: "z", Theirs: "x"}, {Ours: "x", Theirs: "y"}, {Ours: "cut", Theirs: "x"}, {Ours: "xxxx", Theirs: ""},
	}
	got, err := j.Compare(context.Background(), pairs, 1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := &Judgement{Wins: 3, Ties: 1, Losses: 1, Refusals: 3, WinRate: stats.Interval{Mean: .7}}
	if diff := cmp.Diff(want, got, near, cmpopts.IgnoreFields(stats.Interval{}, "Low", "High")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(*calls) != 14 || progress != 14 { // two for each pair but the one that is the same
		t.Errorf("%d answers, %d reported, want 14", len(*calls), progress)
	}
	if (*calls)[0].Messages[0].Content[:len(DefaultRubric)] != DefaultRubric {
		t.Errorf("without a rubric the judge is told %q", (*calls)[0].Messages[0].Content)
	}
}

// The judge sees the proxy's replies, the first draw and the best of all draws, and its answers go to their rows.
func TestComparisonJudge(t *testing.T) {
	client, calls := fake(t, func(c call) answer {
		switch a, b := shownReplies(c.last()); {
		case strings.HasPrefix(b, "greedy"):
			return answer{text: fmt.Sprintf(`{"better":"%s"}`, map[bool]string{true: "A", false: "B"}[strings.HasPrefix(a, "good")])}
		case strings.HasPrefix(a, "greedy"):
			return answer{text: fmt.Sprintf(`{"better":"%s"}`, map[bool]string{true: "B", false: "A"}[strings.HasPrefix(b, "good")])}
		}
		return answer{}
	})
	c := fullComparison()
	for i := range c.Greedy.Replies {
		c.Greedy.Replies[i].Text, c.Proxy.Replies[i].Text = "greedy", "good proxy"
		for d := range 4 {
			c.Sampling.Replies[4*i+d].Text = "bad draw"
		}
		c.Sampling.Replies[4*i+argMax(c.Sampling.Rewards[4*i:4*i+4])].Text = "good draw"
	}
	e, err := c.Evaluate()
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Questions(e); n != 18 {
		t.Errorf("%d questions, want 2 for each of 3 rows of 3 prompts", n)
	}
	if err := c.Judge(context.Background(), Judge{Client: client, Model: "j", Context: 1000, Parallel: 2}, e); err != nil {
		t.Fatal(err)
	}
	type counts struct{ Wins, Losses int }
	got := map[string]counts{}
	for _, row := range e.rows() {
		if row.Judge != nil {
			got[row.Policy] = counts{row.Judge.Wins, row.Judge.Losses}
		}
	}
	firsts := 0
	for i := range 3 {
		if argMax(c.Sampling.Rewards[4*i:4*i+4]) == 0 {
			firsts++
		}
	}
	want := map[string]counts{NameSampling: {firsts, 3 - firsts}, NameProxy: {3, 0}, "best of 4": {3, 0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(*calls) != 18 {
		t.Errorf("%d answers, want 18", len(*calls))
	}
}
