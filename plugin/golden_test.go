package plugin

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

var update = flag.Bool("update", false, "rewrite testdata/golden_*.jsonl: go test -run Golden -update")

// goldenLine is a line of a golden file: a decision, or at the end the counts.
type goldenLine struct {
	*wire.Decision
	Tokens []int32     `json:"tokens,omitempty"`
	Stats  *wire.Stats `json:"stats,omitempty"`
}

// TestGolden pins what a seed gives, to the last bit and byte, so that a logged run can be replayed by a later version. The
// files are never edited by hand. They were made on amd64: elsewhere math.Exp and the order of a vector's sum differ in the
// last digits, so there numbers are compared as numbers.
func TestGolden(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		llm := fakeLLM{seed: 2024, endless: true}
		r := runnerOf(t, llm, proxyModel(t, features, 77, nil))
		pt := 0.005
		got := mustDrive(t, gateOf(t, r, wire.Request{Explore: true, Trace: wire.TraceFeatures, PT: &pt}, GateOptions{Seed: 42}), llm, 32)
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

		path := filepath.Join("testdata", "golden_"+string(features)+".jsonl")
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
	})
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
