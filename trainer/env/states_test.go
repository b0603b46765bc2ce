package env

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

func TestStates(t *testing.T) {
	var path string
	var request any
	want := wire.StatesReply{
		States:       wire.States{Mean: wire.Vector{1, 2}, Last: wire.Vector{3, 4}, Tokens: 5},
		PromptTokens: 6, Cut: 7, Digest: "sha256:00", EmbeddingLength: 2,
	}
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		if err := json.NewEncoder(w).Encode(want); err != nil {
			t.Error(err)
		}
	})
	got, err := c.States(t.Context(), "m", []prompts.Message{{Role: "user", Content: "Tea?"}}, "Yes.")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	if d := cmp.Diff(map[string]any{
		"model": "m", "reply": "Yes.", "messages": []any{map[string]any{"role": "user", "content": "Tea?"}},
	}, request); d != "" || path != wire.StatesPath {
		t.Errorf("request to %s −want +got\n%s", path, d)
	}
}

func TestStatesErrors(t *testing.T) {
	for name, test := range map[string]struct {
		status     int
		body, want string
	}{
		"not for rollouts": {403, `{"error":"OLLAMA_PROXY_ROLLOUT=1"}`, "OLLAMA_PROXY_ROLLOUT=1"},
		"none":             {200, `{"embedding_length":2}`, "0 values, want 2"},
		"too few":          {200, `{"mean":"AACAPw==","embedding_length":2}`, "1 values, want 2"},
		"NaN":              {200, `{"mean":"AADAfw==","embedding_length":1}`, "NaN"},
		"no vector":        {200, `{"mean":[1,2],"embedding_length":2}`, "base64"},
	} {
		c := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			fmt.Fprint(w, test.body)
		})
		if _, err := c.States(t.Context(), "m", nil, "Yes."); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), c.Host()) {
			t.Errorf("%s: %v, want one of %s with %q", name, err, c.Host(), test.want)
		}
	}
}

// A pool asks another server where one is gone, and passes on what a server refuses.
func TestPoolStates(t *testing.T) {
	answer := wire.StatesReply{States: wire.States{Mean: wire.Vector{1}}, EmbeddingLength: 1}
	good := fake(t, func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Reply string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		if in.Reply == "bad" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"no such reply"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	gone := fake(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	gone.RetryWait = time.Millisecond
	p := NewPool([]*Client{gone, good}, []int{1, 1})
	warned := ""
	p.Warn = func(message string) { warned = message }
	got, err := p.States(t.Context(), "m", nil, "Yes.")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(answer.Mean, got.Mean); d != "" || !strings.Contains(warned, gone.Host()) {
		t.Errorf("warning %q, −want +got\n%s", warned, d)
	}
	if _, err := p.States(t.Context(), "m", nil, "bad"); err == nil || !strings.Contains(err.Error(), "no such reply") {
		t.Errorf("refused: %v", err)
	}
}
