package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
)

const (
	version = `{"version":"0.24.0","proxy_rlhf":{"version":"v1","patches":"abc","rollout":true}}`
	shown   = `{"modelfile":"FROM x","model_info":{"general.architecture":"llama","llama.embedding_length":4,"llama.block_count":2,
		"llama.context_length":2048,"llama.attention.head_count":2,"llama.attention.head_count_kv":1,"tokenizer.ggml.tokens":["a","b"]}}`
	tags  = `{"models":[{"name":"smollm2:135m","size":1000}]}`
	reply = `{"message":{"content":"Hi"},"done":true,"proxy":{"accepted":1},"decisions":[{"action":"accept","accept":0.5,"features":"%s"}]}`
)

// features of a prefix and of a lookahead proxy for d 4, and of neither.
const (
	eight = "AAAAAAAAAAAAAAAAAAAAAA=="
	four  = "AAAAAAAAAAA="
	three = "AAAAAAAA"
)

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// chats answers with the features of the proxy that was pushed last, or with what refuse says of its kind.
func chats(t *testing.T, pushed *proxy.Model, refuse map[proxy.Features]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if h := refuse[pushed.Features]; h != nil {
			h(w, r)
			return
		}
		var in struct{ Options map[string]any }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Options["proxy"] == nil || in.Options["proxy_trace"] != "features" {
			t.Errorf("asked with %v, %v", in.Options, err)
		}
		fmt.Fprintf(w, reply, map[proxy.Features]string{proxy.Prefix: eight, proxy.Lookahead: four}[pushed.Features])
	}
}

// server is a healthy one but for the handlers in broken.
func server(t *testing.T, broken map[string]http.HandlerFunc, refuse map[proxy.Features]http.HandlerFunc) string {
	t.Helper()
	pushed := &proxy.Model{}
	handlers := map[string]http.HandlerFunc{
		"/api/version": says(http.StatusOK, version), "/api/show": says(http.StatusOK, shown), "/api/tags": says(http.StatusOK, tags),
		"/api/chat": chats(t, pushed, refuse),
	}
	maps.Copy(handlers, broken)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch h := handlers[r.URL.Path]; {
		case h != nil:
			h(w, r)
		case strings.HasPrefix(r.URL.Path, "/api/blobs/") && r.Method == http.MethodPost:
			path := filepath.Join(t.TempDir(), "pushed.gguf")
			data, err := io.ReadAll(r.Body)
			if err == nil {
				err = os.WriteFile(path, data, 0o600)
			}
			m, openErr := proxy.Open(path)
			if err = errors.Join(err, openErr); err != nil {
				t.Error(err)
				return
			}
			*pushed = *m
			w.WriteHeader(http.StatusCreated)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func healthy() Machine {
	const plenty = 1 << 40
	return Machine{
		Memory: func() (uint64, error) { return plenty, nil },
		Disk:   func(string) (uint64, error) { return plenty, nil },
	}
}

// troubles are the checks that did not go well.
func troubles(findings []Finding) map[string]Status {
	out := map[string]Status{}
	for _, f := range findings {
		if f.Status != OK && f.Check != "BLAS" { // which is as this test was built
			out[f.Check] = f.Status
		}
	}
	return out
}

func TestExamine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	notFound := map[string]http.HandlerFunc{"/api/show": says(http.StatusNotFound, `{"error":"model 'smollm2:135m' not found"}`)}
	for _, tc := range []struct {
		name    string
		broken  map[string]http.HandlerFunc
		refuse  map[proxy.Features]http.HandlerFunc
		change  func(*config.Config)
		machine func(*Machine)
		want    map[string]Status
		says    []string // in what was found or in the remedies
	}{
		{name: "all well", want: map[string]Status{}, says: []string{
			"version v1, patches abc, ready for rollouts", "llama, embedding length 4, vocabulary 2", "Ollama's Go engine", "3 to train on, 0 kept",
		}},
		{name: "nobody there", change: func(c *config.Config) { c.Ollama.Host = closed },
			want: map[string]Status{"server": Fail}, says: []string{closed, "OLLAMA_PROXY_ROLLOUT=1"}},
		{name: "no binary", change: func(c *config.Config) { c.Ollama.Host, c.Ollama.Binary = "", "nowhere/ollama" },
			want: map[string]Status{"server": Fail}, says: []string{"nowhere/ollama", "make build"}},
		{name: "a binary that ends at once", change: func(c *config.Config) { c.Ollama.Host, c.Ollama.Binary = "", "false" },
			want: map[string]Status{"server": Fail}, says: []string{"the server ended at once"}},
		{name: "a stock server", broken: map[string]http.HandlerFunc{"/api/version": says(http.StatusOK, `{"version":"0.24.0"}`)},
			want: map[string]Status{"server": Fail}, says: []string{"has no proxies", "bin/ollama serve"}},
		{name: "not for rollouts", broken: map[string]http.HandlerFunc{"/api/version": says(http.StatusOK, strings.Replace(version, "true", "false", 1))},
			want: map[string]Status{"server": Fail}, says: []string{"gives no features", "OLLAMA_PROXY_ROLLOUT=1"}},
		{name: "no model, but its file", broken: notFound, change: func(c *config.Config) { c.ModelFile = "doctor_test.go" },
			want: map[string]Status{"model": Warn}, says: []string{"makes it of doctor_test.go"}},
		{name: "no model at all", broken: notFound, change: func(c *config.Config) { c.ModelFile = "nowhere.gguf" },
			want: map[string]Status{"model": Fail}, says: []string{`model_file "nowhere.gguf" is no file`, "make model"}},
		{name: "a model of which little is known", broken: map[string]http.HandlerFunc{"/api/show": says(http.StatusOK, `{"model_info":{}}`)},
			want: map[string]Status{"model": Fail}, says: []string{"does not say its embedding length"}},
		{name: "a longer context than the model has", change: func(c *config.Config) { c.Ollama.ContextLength = 4096 },
			want: map[string]Status{"model": Warn}, says: []string{"lower ollama.context_length to 2048"}},
		{name: "no lookahead", refuse: map[proxy.Features]http.HandlerFunc{proxy.Lookahead: says(http.StatusBadRequest, `{"error":"a cache that cannot rewind"}`)},
			want: map[string]Status{"lookahead features": Warn}, says: []string{"a cache that cannot rewind", "while proxy.features is prefix"}},
		{name: "no lookahead where it is asked for", refuse: map[proxy.Features]http.HandlerFunc{proxy.Lookahead: says(http.StatusBadRequest, `{"error":"a cache that cannot rewind"}`)},
			change: func(c *config.Config) { c.Proxy.Features = proxy.Lookahead },
			want:   map[string]Status{"lookahead features": Fail}, says: []string{"a cache that cannot rewind"}},
		{name: "an engine without proxies", refuse: map[proxy.Features]http.HandlerFunc{
			proxy.Prefix: says(http.StatusOK, `{"done":true}`), proxy.Lookahead: says(http.StatusOK, fmt.Sprintf(reply, three))},
			want: map[string]Status{"prefix features": Fail, "lookahead features": Warn}, says: []string{"without a word of the proxy", "sends 3 features, want 4"}},
		{name: "little memory", machine: func(m *Machine) { m.Memory = func() (uint64, error) { return 1 << 20, nil } },
			want: map[string]Status{"memory": Fail}, says: []string{"1.0 MiB available", "lower ollama.parallel"}},
		{name: "unknown memory", machine: func(m *Machine) { m.Memory = func() (uint64, error) { return 0, errors.New("no /proc") } },
			want: map[string]Status{"memory": Warn}, says: []string{"no /proc"}},
		{name: "a full disk", machine: func(m *Machine) { m.Disk = func(string) (uint64, error) { return 1 << 20, nil } },
			want: map[string]Status{"disk": Fail}, says: []string{"1.0 MiB free"}},
		{name: "a disk that is nearly full", machine: func(m *Machine) { m.Disk = func(string) (uint64, error) { return 100 << 20, nil } },
			want: map[string]Status{"disk": Warn}, says: []string{"free some"}},
		{name: "SAC that earns by rejecting", change: func(c *config.Config) { c.Algorithm, c.SAC.BufferSize = config.SAC, 1000 },
			want: map[string]Status{"settings": Warn}, says: []string{"raise rejection_cost"}},
		{name: "no disk for what SAC replays", change: func(c *config.Config) { c.Algorithm, c.RejectionCost = config.SAC, .1 },
			machine: func(m *Machine) { m.Disk = func(string) (uint64, error) { return 100 << 20, nil } },
			want:    map[string]Status{"disk": Fail}, says: []string{"100.0 MiB free"}},
		{name: "no memory for it", change: func(c *config.Config) {
			c.Algorithm, c.RejectionCost, c.SAC.BufferSize, c.SAC.BufferBytes = config.SAC, .1, 1e9, 1<<34
		},
			machine: func(m *Machine) { m.Memory = func() (uint64, error) { return 1 << 30, nil } },
			want:    map[string]Status{"memory": Fail}, says: []string{"with SAC also sac.buffer_bytes"}},
		{name: "memory for it where it is spilled", change: func(c *config.Config) {
			c.Algorithm, c.RejectionCost, c.SAC.BufferSize, c.SAC.BufferBytes, c.SAC.BufferSpill = config.SAC, .1, 1e9, 1<<34, true
		}, machine: func(m *Machine) { m.Memory = func() (uint64, error) { return 1 << 30, nil } }, want: map[string]Status{}},
		{name: "a run folder that is a file", change: func(c *config.Config) { c.Run = "doctor_test.go/run" },
			want: map[string]Status{"disk": Fail}, says: []string{"doctor_test.go", "set run to"}},
		{name: "no prompts", change: func(c *config.Config) { c.Prompts.Path = "nowhere.jsonl" },
			want: map[string]Status{"prompts": Fail}, says: []string{"nowhere.jsonl", "set prompts.path"}},
		{name: "too few prompts", change: func(c *config.Config) { c.Prompts.Validation = 3 },
			want: map[string]Status{"prompts": Fail}, says: []string{"prompts.validation is 3, but there are 3 prompts"}},
		{name: "a reward that does not answer", change: func(c *config.Config) {
			c.Dense, c.Reward.Type, c.Reward.URL, c.Reward.Retries = false, "http", "http://"+closed, -1
		}, want: map[string]Status{"reward": Fail}, says: []string{closed}},
		{name: "nothing to decide", change: func(c *config.Config) { c.Proxy.TopK, c.Proxy.TopP, c.Proxy.PT = 40, 1, .025 },
			want: map[string]Status{"settings": Warn}, says: []string{"top_k 40", "section 3.1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := config.Default()
			c.Reward.Type, c.Run = "vader", filepath.Join(t.TempDir(), "run")
			c.Proxy.HiddenSizes = []int{8}
			c.Prompts.Path, c.Prompts.HoldOut, c.Prompts.Validation = filepath.Join(t.TempDir(), "p.jsonl"), 0, 2
			if err := os.WriteFile(c.Prompts.Path, []byte("\"a\"\n\"b\"\n\"c\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			c.Ollama.Host, c.Ollama.Store = server(t, tc.broken, tc.refuse), t.TempDir()
			m := healthy()
			if tc.change != nil {
				tc.change(&c)
			}
			if tc.machine != nil {
				tc.machine(&m)
			}
			c = c.Complete()
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			findings := Examine(t.Context(), c, m)
			if d := cmp.Diff(tc.want, troubles(findings)); d != "" {
				t.Errorf("−want +got\n%s of %+v", d, findings)
			}
			text := fmt.Sprintf("%+v", findings)
			for _, want := range tc.says {
				if !strings.Contains(text, want) {
					t.Errorf("nothing says %q in %s", want, text)
				}
			}
			failed := 0
			for _, f := range findings {
				if f.Status != OK && f.Remedy == "" || f.Check == "" || f.Found == "" || strings.Contains(f.Found+f.Remedy, "\n") {
					t.Errorf("a finding without a word of what to do, or of more than a line: %+v", f)
				}
				if f.Status == Fail {
					failed++
				}
			}
			if Failed(findings) != failed {
				t.Errorf("%d failed, want %d", Failed(findings), failed)
			}
			if entries, err := os.ReadDir(filepath.Dir(c.Run)); err == nil && filepath.Base(filepath.Dir(c.Run)) != "doctor_test.go" && len(entries) != 0 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

// The operating system answers.
func TestThisMachine(t *testing.T) {
	m := ThisMachine()
	if n, err := m.Memory(); err != nil || n == 0 {
		t.Errorf("memory %d, %v", n, err)
	}
	if n, err := m.Disk(t.TempDir()); err != nil || n == 0 {
		t.Errorf("disk %d, %v", n, err)
	}
}
