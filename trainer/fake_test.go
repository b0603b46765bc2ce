package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
)

// fakeServer is a patched ollama as far as the commands look at it before the first reply. Its handlers can be replaced to break
// it.
type fakeServer struct {
	*httptest.Server
	chats    atomic.Int32 // replies asked for
	lock     sync.Mutex   // of handlers while the server runs
	handlers map[string]http.HandlerFunc
}

const (
	fakeDigest = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	fakeModel  = `{"modelfile":"FROM /blobs/sha256-00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
		"model_info":{"general.architecture":"llama","llama.embedding_length":4,"llama.block_count":2,"llama.context_length":2048,
		"llama.attention.head_count":2,"llama.attention.head_count_kv":1,"tokenizer.ggml.tokens":["a","b","c"]}}`
	fakeVersion = `{"version":"0.24.0","proxy_rlhf":{"version":"v1","patches":"abc","rollout":true}}`
)

func newFakeServer(t *testing.T) *fakeServer {
	t.Helper()
	f := &fakeServer{handlers: map[string]http.HandlerFunc{
		"/api/version": answer(http.StatusOK, fakeVersion),
		"/api/show":    answer(http.StatusOK, fakeModel),
	}}
	f.handlers["/api/proxy/tokens"] = func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Inputs []struct {
				Messages []struct{ Role, Content string }
			}
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		var out struct {
			Results []map[string]any `json:"results"`
		}
		for _, i := range in.Inputs {
			last := i.Messages[len(i.Messages)-1].Content
			out.Results = append(out.Results, map[string]any{"prompt": "<user>\n" + last + "\n<assistant>\n", "tokens": len(strings.Fields(last)) + 2})
		}
		_ = json.NewEncoder(w).Encode(out)
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/chat" {
			f.chats.Add(1)
		}
		f.lock.Lock()
		h := f.handlers[r.URL.Path]
		f.lock.Unlock()
		if h != nil {
			h(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// answer always says the same.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func (f *fakeServer) host() string { return strings.TrimPrefix(f.URL, "http://") }

// file writes a file of the test's own and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// twelve prompts of 2 words, and one of 9.
func somePrompts(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i := range 12 {
		fmt.Fprintf(&b, "{\"prompt\":\"Question %d\",\"label\":%d}\n", i, i)
	}
	b.WriteString(`"Question please please please please please please please please"` + "\n")
	return file(t, "prompts.jsonl", b.String())
}

// small is a valid configuration of a run on the fake server.
func small(t *testing.T, f *fakeServer) config.Config {
	t.Helper()
	c := config.Default()
	c.Run = filepath.Join(t.TempDir(), "run")
	c.Reward.Type = "vader"
	c.Prompts.Path, c.Prompts.HoldOut, c.Prompts.Validation = somePrompts(t), 0, 2
	c.Episodes, c.BatchSize = 8, 4
	c.Proxy.HiddenSizes = []int{3}
	c.Ollama.Host = f.host()
	c = c.Complete()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}
