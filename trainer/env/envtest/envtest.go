// Package envtest is a patched ollama for tests: an HTTP server that speaks as much of its API as the trainer uses, with a tiny
// language model made of hashes in the place of the LLM.
//
// A reply depends on nothing but the prompt, the options and the proxy that was pushed: not on other requests, not on time.
// That is what a real server cannot promise (the last bits of its logits depend on the batch), and what tests need that
// compare runs bit by bit. The model babbles in [Words]; which of them is likely is decided by hashing what came before, and
// a proxy is asked as the real one is, over the real sampler's pool. So a trained proxy can learn here: to avoid "bad", say.
//
// It is not for measuring speed, and what it says of itself is made up.
package envtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// Words are the vocabulary, and each is a token.
var Words = []string{" good", " bad", " red", " blue", " one", " two", " cat", " dog", " up", " down", " old", " new"}

// Width is the model's embedding length.
const Width = 6

// Server is a running server. Its fields are for tests to change between requests.
type Server struct {
	*httptest.Server
	// Slots is what the server says it works on at once; Digest what it says of the model's file.
	Slots  int
	Digest string
	// Fail may be nil; it is called before each chat with the number of chats before, and a status other than 0 is the answer.
	Fail func(chat int) (status int)

	chats   atomic.Int64
	mu      sync.Mutex
	proxies map[string]*proxy.Model // pushed, by digest
	models  map[string]string       // created: name to digest of the proxy, "" for none
}

// New starts a server that has the model name, and stops it with the test.
func New(t testing.TB, name string) *Server {
	t.Helper()
	s := &Server{Slots: 4, Digest: "sha256:" + strings.Repeat("ab", 32), proxies: map[string]*proxy.Model{}, models: map[string]string{name: ""}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/version", s.version)
	mux.HandleFunc("POST /api/show", s.show)
	mux.HandleFunc("POST /api/create", s.create)
	mux.HandleFunc("HEAD /api/blobs/{digest}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	mux.HandleFunc("POST /api/blobs/{digest}", s.blob)
	mux.HandleFunc("POST /api/chat", s.chat)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// Chats is the number of replies asked for so far.
func (s *Server) Chats() int { return int(s.chats.Load()) }

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"version": "0.0.0", "proxy_rlhf": wire.ServerVersion{Version: "test", Patches: "test", Rollout: true, Parallel: s.Slots}})
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	var in struct{ Model string }
	if !read(w, r, &in) {
		return
	}
	if _, ok := s.model(in.Model); !ok {
		refuse(w, http.StatusNotFound, "model '"+in.Model+"' not found")
		return
	}
	answer(w, map[string]any{
		"modelfile": "FROM /models/blobs/sha256-" + strings.TrimPrefix(s.Digest, "sha256:") + "\n",
		"model_info": map[string]any{
			"general.architecture": "hash", "hash.embedding_length": Width, "tokenizer.ggml.tokens": Words,
		},
	})
}

func (s *Server) model(name string) (proxy string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	proxy, ok = s.models[name]
	return proxy, ok
}

func (s *Server) create(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model    string
		From     string
		Adapters map[string]string
	}
	if !read(w, r, &in) {
		return
	}
	if _, ok := s.model(in.From); !ok {
		refuse(w, http.StatusNotFound, "model '"+in.From+"' not found")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, digest := range in.Adapters {
		s.models[in.Model] = digest
	}
	answer(w, map[string]any{"status": "success"})
}

// blob keeps a pushed proxy.
func (s *Server) blob(w http.ResponseWriter, r *http.Request) {
	m, err := decode(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proxies[r.PathValue("digest")] = m
	w.WriteHeader(http.StatusCreated)
}

func decode(body io.Reader) (*proxy.Model, error) {
	f, err := os.CreateTemp("", "envtest-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	size, err := io.Copy(f, body)
	if err != nil {
		return nil, err
	}
	return proxy.Decode(f, size)
}

func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var in chatRequest
	if !read(w, r, &in) {
		return
	}
	if len(in.Messages) == 0 { // load the model
		answer(w, map[string]any{"done": true, "done_reason": "load"})
		return
	}
	n := s.chats.Add(1) - 1
	if s.Fail != nil {
		if status := s.Fail(int(n)); status != 0 {
			refuse(w, status, fmt.Sprintf("chat %d was to fail", n))
			return
		}
	}
	m, err := s.proxyOf(&in)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	out, err := in.reply(m)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, out)
}

// proxyOf finds the proxy that decides a request; nil is none.
func (s *Server) proxyOf(in *chatRequest) (*proxy.Model, error) {
	digest, ok := s.model(in.Model)
	if !ok {
		return nil, fmt.Errorf("model '%s' not found", in.Model)
	}
	switch {
	case in.Options.Proxy == wire.ProxyNone:
		return nil, nil
	case in.Options.Proxy != "":
		digest = in.Options.Proxy
	}
	if digest == "" {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.proxies[digest]
	if m == nil {
		return nil, fmt.Errorf("proxy %s was not pushed", digest)
	}
	return m, nil
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return false
	}
	return true
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	answer(w, map[string]string{"error": message})
}
