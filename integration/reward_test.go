//go:build patched

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// tellablePairs are pairs that the model's states tell apart without doubt: the chosen reply is about the sea, the rejected one is
// arithmetic.
func tellablePairs(t *testing.T, n int) string {
	t.Helper()
	sea := []string{"The waves roll in and the gulls cry.", "Salt air and sand make me calm.", "A boat drifts over blue water.", "Fish swim below the cliffs."}
	var b strings.Builder
	for i := range n {
		record := map[string]string{
			"chosen":   "\n\nHuman: " + questions[i%len(questions)] + "\n\nAssistant: " + sea[i%len(sea)] + strings.Repeat(" The tide turns.", i%3),
			"rejected": "\n\nHuman: " + questions[i%len(questions)] + "\n\nAssistant: " + fmt.Sprintf("%d plus %d is %d, and %d times two is %d.", i, i+1, 2*i+1, i, 2*i),
		}
		data, err := json.Marshal(record)
		check(t, err)
		b.Write(append(data, '\n'))
	}
	path := filepath.Join(t.TempDir(), "pairs.jsonl")
	check(t, os.WriteFile(path, []byte(b.String()), 0o644))
	return path
}

// From pairs to a proxy: a head is trained on the model's own states and a run is paid by it, with the states that came with the
// replies in training and with states asked for in evaluation.
func TestRewardFromPairs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "head", "reward.gguf")
	args := append([]string{"reward", "--pairs", tellablePairs(t, 40), "--out", path, "--ollama.parallel", "8"}, where()...)
	out, err := trainer(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h, err := head.Open(path)
	check(t, err)
	if accuracy, _ := h.Training["accuracy"].(float64); accuracy < 0.9 || h.Length() != modelShape.EmbeddingLength || h.Base.Digest == "" {
		t.Errorf("accuracy %v, states of %d values, base %+v\n%s", h.Training["accuracy"], h.Length(), h.Base, out)
	}
	for _, want := range []string{"the head is right", "the longer reply wins", "calibration error"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, features := range bothFeatures {
		configuration := filepath.Join(t.TempDir(), "head.yaml")
		check(t, os.WriteFile(configuration, []byte("reward: {type: sum, terms: [{type: head, head: "+path+"}, {type: distinct}]}\n"), 0o644))
		dir := filepath.Join(t.TempDir(), "run")
		out, err := trainer(small(dir, "--config", configuration, "--episodes", "32", "--proxy.features", string(features))...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", features, err, out)
		}
		if _, err := proxy.Open(filepath.Join(dir, "proxy.gguf")); err != nil {
			t.Error(err)
		}
		records, err := run.ReadMetrics(dir)
		check(t, err)
		judged := false
		for _, r := range records {
			if _, ok := r.Metrics["eval/reward"]; ok {
				judged = true
			}
		}
		if !judged {
			t.Errorf("%s: no validation in the metrics", features)
		}
	}
}
