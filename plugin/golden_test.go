package plugin

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

var update = flag.Bool("update", false, "rewrite testdata/golden_*.jsonl: go test -run Golden -update")

// goldenLine is a line of a golden file: a decision, or at the end the counts.
type goldenLine struct {
	*wire.Decision
	Tokens []int32     `json:"tokens,omitempty"`
	Stats  *wire.Stats `json:"stats,omitempty"`
}

// goldens are the two models, proxies and requests that are pinned, for both kinds of features: one that explores in the
// default pool, and one with another shape that is served, with everything that a file and a request may set.
var goldens = map[string]struct {
	llm   fakeLLM
	proxy func(t *testing.T, features proxy.Features, base proxy.Base) *proxy.Model
	req   wire.Request
}{
	"golden": {
		llm: fakeLLM{seed: 2024, endless: true},
		proxy: func(t *testing.T, features proxy.Features, _ proxy.Base) *proxy.Model {
			return proxyModel(t, features, 77, nil)
		},
		req: wire.Request{Explore: true, PT: new(0.005)},
	},
	"golden_norm_tanh": {
		llm:   fakeLLM{seed: 7, endless: true, vocab: 300, width: 12},
		proxy: normTanhProxy,
		req:   wire.Request{MinP: new(0.001), MaxRejections: new(2)},
	},
}

// normTanhProxy is a proxy of another form than [proxyModel]'s: a leading norm, two hidden layers, tanh, and a pool of its own.
func normTanhProxy(t *testing.T, features proxy.Features, base proxy.Base) *proxy.Model {
	rng := rand.New(rand.NewPCG(78, 0))
	m, err := proxy.New(proxy.Config{
		Features: features, EmbeddingLength: base.EmbeddingLength, FeedForwardLength: []int{24, 10}, Activation: proxy.Tanh,
		Pool:   sampler.Options{Temperature: 1.2, TopK: 50, TopP: 0.98, PT: 0.002},
		Cutoff: 0.4, Base: base,
	}, rng)
	if err != nil {
		t.Fatal(err)
	}
	m.Norm = proxy.NewNorm(m.InputLength())
	for i := range m.Norm.Weight {
		m.Norm.Weight[i], m.Norm.Bias[i] = float32(1+0.3*rng.NormFloat64()), float32(0.3*rng.NormFloat64())
	}
	for i := range m.Layers[2].Weight {
		m.Layers[2].Weight[i] *= 6 // opinions, as of proxyModel
	}
	return m
}

// TestGolden pins what a seed gives, to the last bit and byte, so that a logged run can be replayed by a later version. The
// files are never edited by hand. They were made on amd64: elsewhere math.Exp and the order of a vector's sum differ in the
// last digits, so there numbers are compared as numbers.
func TestGolden(t *testing.T) {
	for name, golden := range goldens {
		t.Run(name, func(t *testing.T) {
			bothFeatures(t, func(t *testing.T, features proxy.Features) {
				golden.req.Trace = wire.TraceFeatures
				r := runnerOf(t, golden.llm, golden.proxy(t, features, golden.llm.shape()))
				got := mustDrive(t, gateOf(t, r, golden.req, GateOptions{Seed: 42}), golden.llm, 32)
				checkGolden(t, filepath.Join("testdata", name+"_"+string(features)+".jsonl"), got)
			})
		})
	}
}

func checkGolden(t *testing.T, path string, got reply) {
	t.Helper()
	if s := got.Stats; s.Accepted == 0 || s.Rejected == 0 || s.Forced == 0 {
		t.Errorf("%+v: nothing of an action to pin", s)
	}
	got.Stats.Digest = "" // the form of a proxy file is pinned elsewhere
	var file bytes.Buffer
	lines := json.NewEncoder(&file)
	lines.SetEscapeHTML(false)
	for _, d := range got.Decisions {
		if err := lines.Encode(goldenLine{Decision: &d}); err != nil {
			t.Fatal(err)
		}
	}
	if err := lines.Encode(goldenLine{Tokens: got.Tokens, Stats: &got.Stats}); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var options []cmp.Option
	if runtime.GOARCH != "amd64" {
		options = append(options, near)
	}
	if diff := cmp.Diff(goldenLines(t, want), goldenLines(t, file.Bytes()), options...); diff != "" {
		t.Errorf("(-golden +got):\n%s", diff)
	} else if len(options) == 0 && !bytes.Equal(want, file.Bytes()) {
		t.Error("the same decisions, other bytes: the form on the wire has changed")
	}
}

func goldenLines(t *testing.T, file []byte) (lines []goldenLine) {
	t.Helper()
	for _, b := range bytes.Split(bytes.TrimSpace(file), []byte("\n")) {
		var line goldenLine
		if err := json.Unmarshal(b, &line); err != nil {
			t.Fatalf("%v in %q", err, b)
		}
		lines = append(lines, line)
	}
	return lines
}
