package proxy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// The files in testdata were written by gguf-py from the design's table, and the
// expected probabilities computed by NumPy: see testdata/write_proxy.py.
func TestFilesOfGGUFPy(t *testing.T) {
	base := Base{Architecture: "llama", EmbeddingLength: 8, VocabSize: 100}
	withDigest := base
	withDigest.Digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	want := map[string]Config{
		"lookahead_f32.gguf": {
			Features: Lookahead, EmbeddingLength: 8, FeedForwardLength: []int{16}, Activation: ReLU,
			Pool: sampler.DefaultOptions(), Cutoff: DefaultCutoff, Base: withDigest,
			Training: map[string]any{"algorithm": "ppo", "steps": int64(768), "score": 0.71, "dense": true},
		},
		"prefix_f16_norm.gguf": {
			Features: Prefix, EmbeddingLength: 8, FeedForwardLength: []int{16}, Activation: SiLU,
			Pool:   sampler.Options{Temperature: 1, TopK: 40, TopP: 0.95, MinP: 0.02, PT: 0.05, MaxRejections: 3},
			Cutoff: 0.35, Base: base,
		},
	}
	var expected map[string][]struct {
		Features []float32
		Accept   float64
	}
	b, err := os.ReadFile(filepath.Join("testdata", "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &expected); err != nil {
		t.Fatal(err)
	}
	for name, config := range want {
		t.Run(name, func(t *testing.T) {
			m, err := Open(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(config, m.Config); diff != "" {
				t.Errorf("config (-want +read):\n%s", diff)
			}
			if len(expected[name]) == 0 {
				t.Fatal("no expected values")
			}
			e := NewEvaluator(m)
			for i, c := range expected[name] {
				if got := m.Accept(float64s(c.Features)); !near(got, c.Accept, 1e-12) {
					t.Errorf("case %d: reference pi(accept) = %v, NumPy has %v", i, got, c.Accept)
				}
				h, embedding := c.Features[:8], c.Features[8:]
				e.SetHidden(h)
				if got := e.Accept(embedding); !near(got, c.Accept, 1e-5) {
					t.Errorf("case %d: evaluator's pi(accept) = %v, NumPy has %v", i, got, c.Accept)
				}
			}
		})
	}
}
