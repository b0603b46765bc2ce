package wire

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStatesJSON(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string
	}{
		{States{Mean: Vector{1, -2}, Last: Vector{0.5}, Tokens: 3}, `{"mean":"AACAPwAAAMA=","last":"AAAAPw==","tokens":3}`},
		{
			StatesReply{States: States{Mean: Vector{}, Last: Vector{}}, PromptTokens: 4, Cut: 5, Digest: "sha256:00", EmbeddingLength: 6},
			`{"mean":"","last":"","tokens":0,"prompt_tokens":4,"cut":5,"digest":"sha256:00","embedding_length":6}`,
		},
		{RunnerStates{Prompt: "p", Reply: "r"}, `{"prompt":"p","reply":"r"}`},
		{TokensReply{Results: []Rendered{{Prompt: "p", Tokens: 1}}}, `{"results":[{"prompt":"p","tokens":1}]}`},
	} {
		if diff := cmp.Diff(test.want, jsonOf(t, test.value)); diff != "" {
			t.Errorf("%T (-want +got):\n%s", test.value, diff)
		}
	}
}

// A vector keeps its bits, and what is none is refused.
func FuzzVector(f *testing.F) {
	for _, seed := range []string{`""`, `"AACAPw=="`, `"AACAPwAAwH8="`, `"AAA="`, `"!"`, `7`, `null`, `["AA"]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Vector
		if json.Unmarshal(data, &v) != nil {
			return
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var again Vector
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatalf("%s → %s: %v", data, out, err)
		}
		bits := cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
		if d := cmp.Diff(v, again, bits); d != "" && len(v)+len(again) > 0 {
			t.Errorf("%s: −first +second\n%s", data, d)
		}
	})
}

func TestVectorRefuses(t *testing.T) {
	for _, text := range []string{`"AAA="`, `"!"`, `7`, `{}`, `[1]`} {
		if err := json.Unmarshal([]byte(text), new(Vector)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
