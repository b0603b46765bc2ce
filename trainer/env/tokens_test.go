package env

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

func TestRender(t *testing.T) {
	var path string
	var request any
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, `{"results":[{"prompt":"<s>user: Hello","tokens":5},{"prompt":"<s>system: Be brief.","tokens":9}]}`)
	})
	got, err := c.Render(t.Context(), "m", []prompts.Prompt{
		{Text: "Hello"}, {Text: "…", Messages: []prompts.Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Tea?"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Rendered{{"<s>user: Hello", 5}, {"<s>system: Be brief.", 9}}, got); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	message := func(role, content string) any { return map[string]any{"role": role, "content": content} }
	if d := cmp.Diff(map[string]any{"model": "m", "inputs": []any{
		map[string]any{"messages": []any{message("user", "Hello")}},
		map[string]any{"messages": []any{message("system", "Be brief."), message("user", "Tea?")}},
	}}, request); d != "" || path != "/api/proxy/tokens" {
		t.Errorf("request to %s −want +got\n%s", path, d)
	}
}

func TestRenderErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   string
		old    bool
	}{
		{"a server from before", 404, "404 page not found", "build it anew with make build", true},
		{"no such model", 404, `{"error":"model 'm' not found"}`, "model 'm' not found (HTTP 404)", false},
		{"not for rollouts", 403, `{"error":"start the server with OLLAMA_PROXY_ROLLOUT=1"}`, "OLLAMA_PROXY_ROLLOUT=1", false},
		{"too few", 200, `{"results":[]}`, "0 prompts came back, want 1", false},
		{"no tokens", 200, `{"results":[{"prompt":"x"}]}`, "prompt 1 of 1 has 0 tokens", false},
		{"not JSON", 200, `<html>`, "invalid character", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := fake(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			})
			_, err := c.Render(t.Context(), "m", []prompts.Prompt{{Text: "Hello"}})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), c.Host()) || errors.Is(err, ErrCannotRender) != tc.old {
				t.Errorf("error %v, want one of %s with %q", err, c.Host(), tc.want)
			}
		})
	}
}
