//go:build patched

package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Without a proxy the patched build gives the bytes of the stock one, in both of Ollama's engines.
func TestSameBytesAsStock(t *testing.T) {
	for _, engine := range []struct {
		name        string
		environment []string
		questions   []string
	}{
		{"go engine", []string{"OLLAMA_NEW_ENGINE=1"}, questions},
		{"default engine", nil, questions[:5]},
	} {
		t.Run(engine.name, func(t *testing.T) {
			stock, ours := twins(t, engine.environment...)
			for i, q := range engine.questions {
				for _, options := range []map[string]any{
					{"temperature": 0, "num_predict": 24},
					{"seed": 40 + i, "num_predict": 24},
				} {
					request := func() map[string]any {
						// Stock sorts the whole vocabulary for log-probabilities: a few requests show that they are its own.
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
