package learn

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// fakeOllama takes pushed proxies and answers every prompt with "yes <prompt>", after one rejection.
func fakeOllama(t *testing.T) *env.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/blobs/") {
			w.WriteHeader(http.StatusCreated)
			return
		}
		var in struct {
			Messages []prompts.Message
			LogProbs bool
			Options  struct{ Proxy string }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.URL.Path != "/api/chat" {
			t.Errorf("%s: %v", r.URL, err)
		}
		decision := func(position int, text, action string) wire.Decision {
			return wire.Decision{Position: position, Text: text, Action: action, Prob: 0.5, Accept: new(0.5), Features: make([]byte, 4)}
		}
		asked := in.Messages[0].Content
		out := map[string]any{
			"message": map[string]string{"content": "yes " + asked}, "done": true, "done_reason": "stop", "eval_count": 2,
			"proxy":     wire.Stats{Digest: in.Options.Proxy, Proposed: 3, Accepted: 2, Rejected: 1, Forwards: 2},
			"decisions": []wire.Decision{decision(0, "no", wire.Reject), decision(0, "yes", wire.Accept), decision(1, " "+asked, wire.Accept)},
		}
		if in.LogProbs {
			out["logprobs"] = []map[string]float64{{"logprob": -1}, {"logprob": -1}}
		}
		json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(s.Close)
	c, err := env.NewClient(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// quiet is a Reporter that keeps nothing.
type quiet struct{}

var _ Reporter = quiet{}

func (quiet) Phase(string, int)             {}
func (quiet) Reply(*env.Reply)              {}
func (quiet) Batch(int, map[string]float64) {}

// aLoop trains on four prompts, of which the reward fails on the last.
func aLoop(t *testing.T, maxDropped float64) *Loop {
	t.Helper()
	c := config.Default()
	c.Proxy.HiddenSizes = []int{2}
	c.Episodes, c.BatchSize, c.Eval.Every, c.RewardMaxDropped = 8, 4, 0, maxDropped
	folder, err := run.Open(filepath.Join(t.TempDir(), "run"), []byte("name: x\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	l := &Loop{
		Config: c.Complete(), Client: fakeOllama(t), Reward: mixed(t), Folder: folder, Reporter: quiet{},
		Base:       proxy.Base{Architecture: "llama", EmbeddingLength: 1, VocabSize: 8, Digest: "sha256:" + strings.Repeat("0", 64)},
		Validation: []prompts.Prompt{{Text: "you", ID: "v"}},
	}
	for i, text := range []string{"a", "I", "my", "x"} {
		l.Train = append(l.Train, prompts.Prompt{Text: text, ID: fmt.Sprint(i)})
	}
	return l
}

// A run goes on without the replies that the reward fails on, and counts them.
func TestRunWithFailingRewards(t *testing.T) {
	l := aLoop(t, 0.25)
	if _, err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, err := run.ReadMetrics(l.Folder.Dir())
	if err != nil {
		t.Fatal(err)
	}
	updates := 0
	for _, r := range records {
		dropped, ok := r.Metrics["proxy/episodes_dropped"]
		if !ok { // a validation
			if m := r.Metrics["eval/rewards/http/mean"]; m != 10 {
				t.Errorf("step %d: eval/rewards/http/mean is %v", r.Step, m)
			}
			continue
		}
		updates++
		got := []float64{dropped, r.Metrics["reward"], r.Metrics["rewards/person/mean"], r.Metrics["rewards/http/mean"], r.Metrics["rewards/http/std"]}
		if d := cmp.Diff([]float64{1, 26.0 / 3, -2.0 / 3, 10, 0}, got); d != "" {
			t.Errorf("step %d −want +got\n%s", r.Step, d)
		}
	}
	if updates != 2 {
		t.Errorf("%d updates, want 2", updates)
	}
	dropped, err := run.ReadJSON[droppedRecord](l.Folder.Path(DroppedFile))
	if err != nil || len(dropped) != 2 || dropped[1].ID != "3" || dropped[1].Episodes != 8 {
		t.Errorf("dropped: %+v, %v", dropped, err)
	}
}

// A reward that fails on too many ends the run before anything is learnt from the others.
func TestRunEndsWhenTooManyRewardsFail(t *testing.T) {
	l := aLoop(t, 0.2)
	_, err := l.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "1 of 4 replies could not be judged, more than reward_max_dropped 0.2 allows") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(l.Folder.Path(run.MetricsFile)); !os.IsNotExist(err) {
		t.Errorf("there are metrics: %v", err)
	}
}
