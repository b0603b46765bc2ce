//go:build patched

package integration

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// Without a proxy the patched build gives the bytes of the stock one, in both of Ollama's engines: 50 prompts seeded, 20 of them
// greedily too.
func TestSameBytesAsStock(t *testing.T) {
	for _, engine := range []struct {
		name        string
		environment []string
		questions   []string
	}{
		{"go engine", []string{"OLLAMA_NEW_ENGINE=1"}, append(slices.Clone(questions), shipped(t, 30)...)},
		{"default engine", nil, questions[:5]},
	} {
		t.Run(engine.name, func(t *testing.T) {
			stock, ours := twins(t, engine.environment...)
			for i, q := range engine.questions {
				ways := []map[string]any{{"seed": 40 + i, "num_predict": 24}}
				if i < len(questions) {
					ways = append(ways, map[string]any{"temperature": 0, "num_predict": 24})
				}
				for _, options := range ways {
					request := func() map[string]any {
						return map[string]any{"prompt": q, "options": options, "logprobs": i < 4}
					}
					want, got := stock.generate(t, request()), ours.generate(t, request())
					want.EvalDuration, got.EvalDuration = 0, 0
					if d := cmp.Diff(want, got); d != "" {
						t.Errorf("%q with %v: stock −, patched +\n%s", q, options, d)
					}
				}
			}
		})
	}
}

// shipped are the texts of the first n training prompts of the repository.
func shipped(t *testing.T, n int) []string {
	t.Helper()
	train, _, err := prompts.Load(prompts.Options{Path: root("configs", "prompts.jsonl"), Seed: 1, Limit: n})
	check(t, err)
	texts := make([]string, len(train))
	for i := range train {
		texts[i] = train[i].Text
	}
	return texts
}
