//go:build patched

package integration

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// An evaluation with everything in it: the best of n never falls as n grows and costs n times as much, every policy has a text
// guard and a second reward, and eval prints the n that equals the proxy.
func TestEvaluation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	out, err := trainer(small(dir, "--episodes", "16")...).CombinedOutput()
	if err != nil {
		t.Fatalf("train: %v\n%s", err, out)
	}
	args := append([]string{"eval", "--markdown"}, small(dir, "--episodes", "16", "--eval.prompts", "8", "--eval.best_of", "1,2,4",
		"--eval.reward2", "{type: length}", "--eval.judge", "{model: 'smollm2:135m'}", "--eval.bootstrap_samples", "1000")[1:]...)
	out, err = trainer(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("eval: %v\n%s", err, out)
	}
	for _, want := range []string{"best-of-n equals the proxy at n = ", "| best of 4 ", "| base sampling ", "**judge: smollm2:135m**"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("eval does not print %q:\n%s", want, out)
		}
	}
	e, err := eval.Read(filepath.Join(dir, eval.File))
	check(t, err)
	if e.Prompts != 8 || len(e.Summaries) != 3 || len(e.BestOf) != 3 || e.EqualN == nil || e.EqualN2 == nil {
		t.Fatalf("%d prompts, %d policies, %d rows of best-of-n, equal %v and %v", e.Prompts, len(e.Summaries), len(e.BestOf), e.EqualN, e.EqualN2)
	}
	greedy, sampling, proxied := e.Summaries[0], e.Summaries[1], e.Summaries[2]
	last := e.BestOf[0]
	if d := last.Reward.Mean - sampling.Reward.Mean; d > 1e-9 || d < -1e-9 {
		t.Errorf("the best of 1 has a reward of %v, sampling %v", last.Reward, sampling.Reward)
	}
	for _, b := range e.BestOf[1:] {
		if b.Reward.Mean < last.Reward.Mean-1e-9 {
			t.Errorf("best of %d: reward %v, of %d %v", b.N, b.Reward, last.N, last.Reward)
		}
		if ratio := b.Cost.Forwards / e.BestOf[0].Cost.Forwards; ratio < float64(b.N)-1e-9 || ratio > float64(b.N)+1e-9 {
			t.Errorf("best of %d costs %v times one reply", b.N, ratio)
		}
		last = b
	}
	for _, row := range []eval.Summary{greedy, sampling, proxied, last.Summary} {
		if row.TextGuard == nil || row.Second == nil || row.Second.Reward.Mean <= 0 || row.Perplexity < 1 || row.Cost.Prompt < 10 || row.Tokens > 8 {
			t.Errorf("%s: %+v", row.Policy, row)
		}
	}
	if j := proxied.Judge; j == nil || j.Wins+j.Ties+j.Losses+j.Refusals != 8 {
		t.Errorf("the judge says %+v of the proxy", j)
	}
	if greedy.Perplexity >= sampling.Perplexity {
		t.Errorf("greedy replies have a perplexity of %v, samples %v", greedy.Perplexity, sampling.Perplexity)
	}
}

// A reply that the server cuts off, since one token repeats, comes with its text and likelihoods, which is what an evaluation
// scores. A format that leaves no choice makes a model of one-letter tokens repeat one.
func TestCutOffReplyKeepsItsText(t *testing.T) {
	s := patched(t)
	data, _ := randomModel(t, "llama", 1)
	s.create(t, "letters", map[string]any{"files": map[string]string{"model.gguf": s.push(t, data)}})
	client, err := env.NewClient(s.host)
	check(t, err)
	replies, err := env.Rollout(t.Context(), client, []env.Request{{
		Model: "letters", Prompt: prompts.Prompt{Text: "Say a."}, Options: map[string]any{"num_predict": 100}, LogProbs: true,
		Format: json.RawMessage(`{"const": "` + strings.Repeat("a", 60) + `"}`),
	}}, 1, nil)
	check(t, err)
	r := replies[0]
	if want := `"` + strings.Repeat("a", 31); r.DoneReason != env.DoneCut || r.Text != want || len(r.LogProbs) != len(want) || r.Tokens != len(want) {
		t.Errorf("reply %q (%s) with %d likelihoods and %d tokens; want %q, cut off", r.Text, r.DoneReason, len(r.LogProbs), r.Tokens, want)
	}
}
