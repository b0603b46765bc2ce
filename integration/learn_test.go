//go:build patched

package integration

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
)

// allSeeds runs the learning tests in full: every use, both kinds of features, three seeds.
var allSeeds = os.Getenv("PROXY_RLHF_ALL_SEEDS") != ""

// learningCase is one use of the trainer.
type learningCase struct {
	config   string
	features proxy.Features
	// perplexity is the most that the proxy's may be, in greedy's.
	perplexity float64
	// short is what makes the run small enough for every CI run; nil: too long for one.
	short []string
}

var learningCases = []learningCase{
	{"direct", proxy.Prefix, 1.2, []string{"--episodes", "192", "--eval.prompts", "64", "--eval.every", "96"}},
	{"direct", proxy.Lookahead, 1.2, []string{"--episodes", "192", "--eval.prompts", "64", "--eval.every", "96"}},
	{"cheerful", proxy.Prefix, 1.5, nil},
	{"cheerful", proxy.Lookahead, 1.5, nil},
}

// A trained proxy beats greedy decoding on prompts that it never saw, at a perplexity near greedy's; with learning switched off
// it does not.
func TestLearn(t *testing.T) {
	for _, c := range learningCases {
		if !allSeeds && c.short == nil {
			continue
		}
		t.Run(c.config+"/"+string(c.features), func(t *testing.T) {
			seeds, short := []int{1, 2, 3}, []string(nil)
			if !allSeeds {
				seeds, short = seeds[:1], c.short
			}
			smallest := math.Inf(1) // gain of all seeds
			for _, seed := range seeds {
				greedy, trained := c.train(t, seed, short...)
				smallest = min(smallest, trained.Gain.Mean)
				if trained.Gain.Low <= 0 {
					t.Errorf("seed %d: gain over greedy %s", seed, trained.Gain)
				}
				if trained.Perplexity > c.perplexity*greedy.Perplexity {
					t.Errorf("seed %d: perplexity %.2f, greedy's %.2f", seed, trained.Perplexity, greedy.Perplexity)
				}
			}
			if c.features != proxy.Prefix {
				seeds = seeds[:1]
			}
			for _, seed := range seeds {
				// Weights that stay as they are do so in one update as in ten.
				_, off := c.train(t, seed, "--ppo.learning_rate", "0", "--ppo.critic_learning_rate", "0", "--episodes", "64", "--eval.prompts", "64")
				// It accepts all, and its replies differ from greedy ones where two tokens are all but equally probable: one interval
				// in forty lies above 0 by chance. Half of what learning gains is no chance.
				if off.Gain.Low > 0 && off.Gain.Mean > smallest/2 {
					t.Errorf("seed %d: without learning the gain over greedy is %s", seed, off.Gain)
				}
			}
		})
	}
}

// train runs the real trainer from nothing, and returns the held-out rows of base greedy and of the proxy.
func (c learningCase) train(t *testing.T, seed int, flags ...string) (greedy, trained eval.Summary) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	args := append([]string{
		"demo", "--config", root("configs", c.config+".yaml"), "--run", dir, "--seed", fmt.Sprint(seed),
		"--proxy.features", string(c.features), "--prompts.path", root("configs", "prompts.jsonl"),
	}, flags...)
	out, err := trainer(append(args, where()...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("proxy-trainer %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "evaluation.json"))
	check(t, err)
	var e struct{ Summaries []eval.Summary }
	check(t, json.Unmarshal(data, &e))
	if len(e.Summaries) != 2 {
		t.Fatalf("evaluation.json has %d rows", len(e.Summaries))
	}
	greedy, trained = e.Summaries[0], e.Summaries[1]
	t.Logf("%s %s seed %d %v: reward %s → %s, gain %s, win rate %.2f, perplexity %.2f → %.2f, rejections/token %.2f, forwards/token %.2f",
		c.config, c.features, seed, flags, greedy.Reward, trained.Reward, trained.Gain, trained.WinRate,
		greedy.Perplexity, trained.Perplexity, trained.Rejections, trained.Forwards)
	return greedy, trained
}

// where points the trainer at the tests' binaries, model and store.
func where() []string {
	return []string{"--ollama.binary", root("bin", "ollama"), "--ollama.store", filepath.Join(servers.dir, "trainer"), "--model_file", modelFile}
}

// trainer is a call of the real bin/proxy-trainer, without the environment's say.
func trainer(args ...string) *exec.Cmd {
	cmd := exec.Command(root("bin", "proxy-trainer"), args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OLLAMA_") && !strings.HasPrefix(v, "PROXY_RLHF_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return cmd
}
