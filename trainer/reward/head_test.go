package reward

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
)

// savedHead is the file of a head that scores 2·first − second.
func savedHead(t testing.TB) string {
	t.Helper()
	h := &head.Head{
		Layers:     []proxy.Linear{{In: 2, Out: 1, Weight: []float32{2, -1}, Bias: []float32{0}}},
		LogitScale: 1, Base: proxy.Base{Architecture: "llama", EmbeddingLength: 2, Digest: "sha256:00"},
	}
	path := filepath.Join(t.TempDir(), "reward.gguf")
	if err := h.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHead(t *testing.T) {
	spec := Spec{Type: TypeHead, Head: savedHead(t)}
	withWords := Spec{Type: TypeSum, Terms: []Spec{{Type: TypeRegexp, Pattern: "a", PerMatch: -1}, {Type: TypeHead, Head: spec.Head, Weight: new(0.5)}}}
	for name, test := range map[string]struct {
		spec Spec
		want []float64
	}{"alone": {spec, []float64{2, -1}}, "in a sum": {withWords, []float64{0, -0.5}}} {
		r := build(t, test.spec)
		if n := StateLength(r); n != 2 {
			t.Errorf("%s: states of %d values, want 2", name, n)
		}
		got, err := r.Score(t.Context(), []Sample{{Reply: "a", State: []float32{1, 0}}, {Reply: "b", State: []float32{0, 1}}})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s: −want +got\n%s", name, d)
		}
		for want, state := range map[string][]float32{"has no state": nil, "3 values": {1, 2, 3}} {
			if _, err := r.Score(t.Context(), []Sample{{State: []float32{1, 0}}, {State: state}}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "sample 2 of 2") {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		warnings, err := CheckBase(r, proxy.Base{Architecture: "llama", EmbeddingLength: 2, Digest: "sha256:11"})
		if err != nil || len(warnings) != 1 {
			t.Errorf("%s: another file: %q, %v", name, warnings, err)
		}
		if _, err := CheckBase(r, proxy.Base{EmbeddingLength: 3}); err == nil {
			t.Errorf("%s: another model: no error", name)
		}
	}
	if n := StateLength(build(t, firstPerson())); n != 0 {
		t.Errorf("first person: states of %d values", n)
	}
	if _, err := New(Spec{Type: TypeHead, Head: "nowhere.gguf"}); err == nil || !strings.Contains(err.Error(), "nowhere.gguf") || !strings.Contains(err.Error(), "proxy-trainer reward") {
		t.Errorf("no file: %v", err)
	}
	if err := (Spec{Type: TypeHead}).Validate(); err == nil || !strings.Contains(err.Error(), "head: empty") {
		t.Errorf("no name: %v", err)
	}
}

// Dense pays what the running mean of the states that are shown gains, and all of it is the mean's score.
func TestHeadDense(t *testing.T) {
	trace := Trace{
		Pieces: []string{"a", "b", "c", "d", "e"},
		States: [][]float32{nil, {1, 0}, nil, {0, 1}, {2, 2}},
		State:  []float32{1, 0.5},
	}
	spec := Spec{Type: TypeHead, Head: savedHead(t)}
	got, err := Dense(build(t, spec).(Prefixer), trace)
	if err != nil {
		t.Fatal(err)
	}
	// Means: none; (1, 0) scores 2; the same; (½, ½) scores ½; of the whole, (1, ½), 1½.
	if d := cmp.Diff([]float64{0, 2, 0, -1.5, 1}, got); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	sum := Spec{Type: TypeSum, Terms: []Spec{spec, {Type: TypeRegexp, Pattern: "c", PerMatch: -1}, {Type: TypeHTTP, URL: "http://127.0.0.1:1/x"}}}
	got, err = Dense(OnPrefixes(build(t, sum)), trace)
	if d := cmp.Diff([]float64{0, 2, -1, -1.5, 1}, got); d != "" || err != nil {
		t.Errorf("in a sum: %v −want +got\n%s", err, d)
	}
	for name, states := range map[string][][]float32{"too few": {{1, 0}}, "no states": nil, "another length": {{1}, nil, nil, nil, nil}, "NaN": {{float32(math.NaN()), 0}, nil, nil, nil, nil}} {
		if _, err := Dense(build(t, spec).(Prefixer), Trace{Pieces: trace.Pieces, States: states, State: trace.State}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Dense(build(t, spec).(Prefixer), Trace{Pieces: trace.Pieces, States: trace.States}); err == nil {
		t.Error("no mean of the whole: no error")
	}
}
