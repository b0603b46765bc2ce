package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// letters counts a letter in replies, and fails where a reply is what it says.
type letters struct {
	letter string
	fails  string
	most   *int // samples in one call
}

var errScorer = errors.New("the scorer is out")

func (l letters) Score(_ context.Context, samples []reward.Sample) ([]float64, error) {
	out := make([]float64, len(samples))
	for i, s := range samples {
		if l.fails != "" && s.Reply == l.fails {
			return nil, errScorer
		}
		out[i] = float64(strings.Count(s.Reply, l.letter))
	}
	if l.most != nil {
		*l.most = max(*l.most, len(samples))
	}
	return out, nil
}

func somePrompts(n int) []prompts.Prompt {
	out := make([]prompts.Prompt, n)
	for i := range out {
		out[i] = prompts.Prompt{Text: fmt.Sprintf("prompt %d", i), ID: fmt.Sprint(i)}
	}
	return out
}

func TestRunGreedyAndProxy(t *testing.T) {
	c, calls := fake(t, func(c call) answer {
		if c.Model == "m-proxy" {
			return answer{text: "bb " + c.last(), stats: &wire.Stats{Accepted: 4, Rejected: 3, Forwards: 7}, nll: 1}
		}
		return answer{text: "b " + c.last(), prompt: 9, nll: 1}
	})
	setting := Setting{Prompts: somePrompts(3), Tokens: 40, Parallel: 2, Reward: letters{letter: "b"}, Reward2: letters{letter: "p"}}
	greedy, err := setting.Run(context.Background(), c, Greedy("m"))
	if err != nil {
		t.Fatal(err)
	}
	proxied, err := setting.Run(context.Background(), c, Proxied("m-proxy"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{1, 1, 1}, greedy.Rewards); diff != "" {
		t.Errorf("greedy rewards (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]float64{{2, 2, 2}, {2, 2, 2}}, [][]float64{proxied.Rewards, proxied.Rewards2}); diff != "" {
		t.Errorf("the proxy's rewards (-want +got):\n%s", diff)
	}
	if r := greedy.Replies[1]; r.Text != "b prompt 1" || r.PromptTokens != 9 || greedy.Wall <= 0 {
		t.Errorf("second reply %+v, in %v", r, greedy.Wall)
	}
	want := []map[string]any{{"num_predict": 40., "temperature": 0., "proxy": "none"}, {"num_predict": 40.}}
	if diff := cmp.Diff(want, []map[string]any{(*calls)[0].Options, (*calls)[3].Options}); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
}

// Every draw has a seed of its own, the same in every run; the draws of a prompt come one after the other, and several prompts at
// once.
func TestRunDraws(t *testing.T) {
	var lock sync.Mutex
	flying, most := map[string]int{}, 0
	c, calls := fake(t, func(c call) answer {
		count := func(by int) {
			lock.Lock()
			defer lock.Unlock()
			if flying[c.last()] += by; flying[c.last()] == 0 {
				delete(flying, c.last())
			} else if flying[c.last()] > 1 {
				t.Errorf("two draws of %s at once", c.last())
			}
			most = max(most, len(flying))
		}
		count(1)
		defer count(-1)
		time.Sleep(100 * time.Microsecond)
		return answer{text: fmt.Sprint(c.Options["seed"]), nll: 1}
	})
	progress, scored := 0, 0
	setting := Setting{
		Prompts: somePrompts(100), Tokens: 4, Parallel: 3, Seed: 5, Progress: func() { progress++ },
		Reward: letters{letter: "1", most: &scored},
	}
	policy := Sampling("m", 0.8, 0.9, 40, 4)
	first, err := setting.Run(context.Background(), c, policy)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Replies) != 400 || progress != 400 || first.prompts() != 100 || scored > 256 {
		t.Fatalf("%d replies to %d prompts, %d reported, %d scored at once", len(first.Replies), first.prompts(), progress, most)
	}
	seen := map[string]bool{}
	for i, r := range first.Replies {
		if want := somePrompts(100)[i/4]; r.Prompt.ID != want.ID {
			t.Fatalf("reply %d is to prompt %s, want %s", i, r.Prompt.ID, want.ID)
		}
		seen[r.Text] = true
	}
	if most < 2 || most > 3 {
		t.Errorf("up to %d prompts at once, want 3", most)
	}
	if len(seen) != 400 {
		t.Errorf("%d different seeds among 400 draws", len(seen))
	}
	options := (*calls)[0].Options
	delete(options, "seed")
	if diff := cmp.Diff(map[string]any{"num_predict": 4., "temperature": .8, "top_p": .9, "top_k": 40., "proxy": "none"}, options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	again, err := setting.Run(context.Background(), c, policy)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(first.Replies, again.Replies, func(a, b env.Reply) bool { return a.Text == b.Text }) {
		t.Error("a second run draws other seeds")
	}
}

// A reply that is cut off neither ends an evaluation nor is left out of it.
func TestRunCutOff(t *testing.T) {
	c, _ := fake(t, func(c call) answer {
		if c.last() == "prompt 1" {
			return answer{text: "bbb bbb bbb", cut: true, nll: 2}
		}
		return answer{text: "b", stats: &wire.Stats{Accepted: 4, Rejected: 2, Forwards: 6}, prompt: 10, nll: 1}
	})
	s, err := Setting{Prompts: somePrompts(4), Tokens: 4, Parallel: 1, Reward: letters{letter: "b"}}.Run(context.Background(), c, Proxied("p"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := anyOf(s).summarise(anyOf(s), nil, 100, 1)
	if err != nil {
		t.Fatal(err)
	}
	type figures struct{ Reward, CutOff, Tokens, Rejections, Forwards, DecodeCost, PromptCost float64 }
	want := figures{Reward: 3, CutOff: .25, Tokens: 4, Rejections: .5, Forwards: 1.5, DecodeCost: 6, PromptCost: 10}
	if diff := cmp.Diff(want, figures{got.Reward.Mean, got.CutOff, got.Tokens, got.Rejections, got.Forwards, got.Cost.Forwards, got.Cost.Prompt}, near); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRunErrors(t *testing.T) {
	c, _ := fake(t, func(call) answer { return answer{text: "x", nll: 1} })
	setting := Setting{Prompts: somePrompts(2), Parallel: 1, Reward: letters{fails: "x"}}
	if _, err := setting.Run(context.Background(), c, Greedy("m")); !errors.Is(err, errScorer) || !strings.Contains(err.Error(), "base greedy") {
		t.Errorf("a reward that fails: %v", err)
	}
	setting = Setting{Prompts: somePrompts(2), Parallel: 1, Reward: letters{}, Reward2: letters{fails: "x"}}
	if _, err := setting.Run(context.Background(), c, Greedy("m")); !errors.Is(err, errScorer) || !strings.Contains(err.Error(), "second reward") {
		t.Errorf("a second reward that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, draws := range []int{0, 1, 3} {
		if _, err := setting.Run(ctx, c, Policy{Name: "p", Draws: draws}); !errors.Is(err, context.Canceled) {
			t.Errorf("%d draws, cancelled: %v", draws, err)
		}
	}
}
