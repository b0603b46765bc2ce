//go:build patched

package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A dry run prints, to the character, what the server makes of a prompt: sent raw it has as many tokens as are printed. It trains
// nothing and writes nothing.
func TestDryRun(t *testing.T) {
	s := patched(t)
	dir := filepath.Join(t.TempDir(), "run")
	out, err := trainer(small(dir, "--ollama.host", s.host, "--ollama.context_length", "1024", "--prompts.max_tokens", "40", "--dry-run")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	samples := regexp.MustCompile(`(?m)^  to the model, (\d+) tokens:\n((?:    ".*"\n)+)`).FindAllStringSubmatch(string(out), -1)
	if len(samples) != 3 {
		t.Fatalf("%d samples in\n%s", len(samples), out)
	}
	for _, sample := range samples {
		tokens, err := strconv.Atoi(sample[1])
		check(t, err)
		var prompt strings.Builder
		for line := range strings.Lines(sample[2]) {
			var text string
			check(t, json.Unmarshal([]byte(line), &text))
			prompt.WriteString(text)
		}
		if !strings.HasPrefix(prompt.String(), "<|im_start|>") || tokens > 40 {
			t.Errorf("%d tokens: %q", tokens, &prompt)
		}
		_, body := s.call(t, "/api/generate", map[string]any{
			"model": model, "prompt": prompt.String(), "raw": true, "stream": false, "options": map[string]any{"num_predict": 1},
		})
		var reply struct {
			PromptEvalCount int `json:"prompt_eval_count"`
		}
		check(t, json.Unmarshal(body, &reply))
		if reply.PromptEvalCount != tokens {
			t.Errorf("%q has %d tokens, printed are %d", &prompt, reply.PromptEvalCount, tokens)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the run folder is there")
	}
	if strings.Contains(string(out), "greedy replies") {
		t.Errorf("replies were asked for:\n%s", out)
	}
}
