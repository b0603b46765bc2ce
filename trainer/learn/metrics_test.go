package learn

import (
	"context"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env/envtest"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

var near = cmpopts.EquateApprox(0, 1e-12)

func TestRolloutMetrics(t *testing.T) {
	replies := []env.Reply{
		{Tokens: 6, Proxy: &wire.Stats{Proposed: 10, Accepted: 4, Rejected: 4, Forced: 2, Forwards: 10}},
		{Tokens: 2, Proxy: &wire.Stats{Proposed: 2, Forced: 2, Forwards: 2}},
	}
	episodes := []rl.Episode{{Return: 1}, {Return: -2}}
	got := map[string]float64{}
	rolloutMetrics(got, Paid{Replies: replies, Episodes: episodes, Terms: []reward.Term{{Name: "vader", Scores: []float64{1, -2}}}}, rolled{rolling: 3 * time.Second, learning: time.Second, took: 4 * time.Second})
	want := map[string]float64{
		"charts/episodic_return": -0.5, "charts/episodic_length": 4, "charts/SPS": 2,
		"proxy/rejections_per_token": 0.5, "proxy/forced_per_token": 0.5, "proxy/forwards_per_token": 1.5,
		"reward": -0.5, "reward_std": math.Sqrt(4.5), "rewards/vader/mean": -0.5, "rewards/vader/std": math.Sqrt(4.5),
		"proxy/accept_rate": 0.5, "proxy/tokens_per_second": 8.0 / 3, "time/rollout": 3, "time/update": 1,
	}
	if d := cmp.Diff(want, got, near); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
}

// TRL's formulas, from the log-probabilities that they are made of: the mean over replies of sums over tokens.
func TestObjectiveMetrics(t *testing.T) {
	at := func(d wire.Decision, prob float64) wire.Decision { d.Prob = prob; return d }
	replies := []env.Reply{
		{Decisions: []wire.Decision{
			at(decided(0, "a", wire.Forced, -1), 1),
			at(decided(1, "b", wire.Reject, 0.25), 0.5),
			at(decided(1, "c", wire.Accept, 0.5), 0.3),
			at(decided(2, "d", wire.Reject, 0.9), 0.6),
			at(decided(2, "e", wire.Forced, -1), 0.4),
		}},
		{Decisions: []wire.Decision{at(decided(0, "f", wire.Accept, 0.8), 0.7)}},
	}
	got := map[string]float64{}
	objectiveMetrics(got, Paid{Replies: replies, Episodes: []rl.Episode{{Return: 2}, {Return: 1}}, Charged: []float64{0.2, 0}})
	logQ := []float64{math.Log(0.75 * 0.5 * 0.1), math.Log(0.8)}
	logP := []float64{math.Log(0.3 * 0.4), math.Log(0.7)}
	want := map[string]float64{
		"objective/scores":           1.5,
		"objective/kl":               (logQ[0] - logP[0] + logQ[1] - logP[1]) / 2,
		"objective/entropy":          -(logQ[0] + logQ[1]) / 2,
		"objective/non_score_reward": -0.1,
		"objective/rlhf_reward":      1.4,
	}
	if d := cmp.Diff(want, got, near); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
}

// The estimate is of KL(q‖p) over the tokens that a position can end with: its mean over many positions is the exact one.
func TestObjectiveKLIsTheKL(t *testing.T) {
	accept, prob := []float64{0.6, 0.3, 1}, []float64{0.5, 0.3, 0.2}
	q := []float64{0.6, 0.4 * 0.3, 0.4 * 0.7}
	exact, mean := 0.0, 0.0
	for j := range q {
		exact += q[j] * math.Log(q[j]/prob[j])
		var decisions []wire.Decision
		for i := range j {
			decisions = append(decisions, wire.Decision{Action: wire.Reject, Accept: &accept[i], Prob: prob[i]})
		}
		action := wire.Accept
		if accept[j] == 1 {
			action = wire.Forced
		}
		logQ, logP := logProbabilities(append(decisions, wire.Decision{Action: action, Accept: &accept[j], Prob: prob[j]}))
		mean += math.Exp(logQ) * (logQ - logP)
	}
	if math.Abs(mean-exact) > 1e-12 {
		t.Errorf("expected estimate %g, KL %g", mean, exact)
	}
}

// Every metric that a run logs is explained in the package comment, and nothing else is.
func TestMetricsAreExplained(t *testing.T) {
	explained := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^//\t([a-z_]+(?:/\w+)*)(?:, (\w+/\w+))? `).FindAllStringSubmatch(string(readFile(t, "doc.go")), -1) {
		for _, name := range m[1:] {
			if name != "" {
				explained[name] = true
			}
		}
	}
	logged := map[string]bool{"proxy/batches_without_decisions": true, "time/rollout": true, "time/update": true, "charts/SPS": true, "proxy/tokens_per_second": true}
	groups := smallConfig()
	groups.PPO.GroupSize = 4
	for _, c := range []config.Config{smallConfig(), groups, smallSAC()} {
		l := newLoop(t, c, envtest.New(t, "hash"), t.TempDir())
		if _, err := l.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, r := range records(t, l.Folder.Dir()) {
			for name := range r.Metrics {
				logged[strings.Replace(name, "rewards/regexp/", "rewards/NAME/", 1)] = true
			}
		}
		if _, err := os.Stat(l.Folder.Path(run.EventsFile)); err != nil {
			t.Errorf("no TensorBoard events: %v", err)
		}
	}
	if d := cmp.Diff(explained, logged); d != "" {
		t.Errorf("−explained in doc.go +logged\n%s", d)
	}
}
