package env

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// slow is a server that answers each chat with its name, one at a time for each slot it was asked to show, and can die.
type slow struct {
	*httptest.Server
	client       *Client
	flying, most atomic.Int32
	answered     atomic.Int32
	blobs        sync.Map
	broken       atomic.Bool // answers 500 to everything
}

func newSlow(t *testing.T, name string) *slow {
	t.Helper()
	s := &slow{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.broken.Load() {
			http.Error(w, `{"error":"the runner has ended"}`, http.StatusInternalServerError)
			return
		}
		if digest, ok := strings.CutPrefix(r.URL.Path, "/api/blobs/"); ok {
			s.blobs.Store(digest, true)
			w.WriteHeader(http.StatusCreated)
			return
		}
		if n := s.flying.Add(1); n > s.most.Load() {
			s.most.Store(n)
		}
		defer s.flying.Add(-1)
		var in struct{ Messages []prompts.Message }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Millisecond)
		s.answered.Add(1)
		fmt.Fprintf(w, `{"message":{"content":"%s to %s"},"done":true}`, name, in.Messages[0].Content)
	}))
	t.Cleanup(s.Close)
	client, err := NewClient(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	client.RetryWait = time.Millisecond
	s.client = client
	return s
}

func (s *slow) has(digest string) bool { _, ok := s.blobs.Load(digest); return ok }

// Replies come from all servers, never more at once than each has slots for, and a push goes to all.
func TestPool(t *testing.T) {
	a, b := newSlow(t, "a"), newSlow(t, "b")
	p := NewPool([]*Client{a.client, b.client}, []int{1, 3})
	if p.Slots() != 4 {
		t.Errorf("%d slots, want 4", p.Slots())
	}
	replies, err := Rollout(context.Background(), p, requests(60), p.Slots(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range replies {
		if !strings.HasSuffix(r.Text, fmt.Sprintf(" to %d", i)) {
			t.Errorf("reply %d: %q", i, r.Text)
		}
	}
	if a.most.Load() != 1 || b.most.Load() > 3 || b.answered.Load() <= a.answered.Load() || a.answered.Load() == 0 {
		t.Errorf("a had %d of 1 slots busy and answered %d; b had %d of 3 and answered %d",
			a.most.Load(), a.answered.Load(), b.most.Load(), b.answered.Load())
	}
	digest, err := p.PushFile(context.Background(), file(t))
	if err != nil || !a.has(digest) || !b.has(digest) {
		t.Errorf("pushed %s: %v, a has it: %t, b has it: %t", digest, err, a.has(digest), b.has(digest))
	}
}

func file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proxy.gguf")
	if err := os.WriteFile(path, []byte("weights"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A server that dies is left out once, with a warning; all replies come from the others. When the last one dies, the error
// names every server.
func TestPoolLeavesOutTheDead(t *testing.T) {
	for name, die := range map[string]func(*slow){
		"gone":   func(s *slow) { s.CloseClientConnections(); s.Close() },
		"broken": func(s *slow) { s.broken.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newSlow(t, "a"), newSlow(t, "b")
			p := NewPool([]*Client{a.client, b.client}, []int{4, 4})
			var mu sync.Mutex
			var warnings []string
			p.Warn = func(w string) { mu.Lock(); defer mu.Unlock(); warnings = append(warnings, w) }
			var once sync.Once
			replies, err := Rollout(context.Background(), p, requests(40), p.Slots(), func(*Reply) { once.Do(func() { die(a) }) })
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range replies {
				if !strings.HasSuffix(r.Text, fmt.Sprintf(" to %d", i)) {
					t.Errorf("reply %d: %q", i, r.Text)
				}
			}
			if len(warnings) != 1 || !strings.Contains(warnings[0], a.client.Host()+" is left out") {
				t.Errorf("warnings %q, want one that names %s", warnings, a.client.Host())
			}
			digest, err := p.PushFile(context.Background(), file(t))
			if err != nil || !b.has(digest) {
				t.Errorf("push after the death: %v", err)
			}
			die(b)
			_, err = Rollout(context.Background(), p, requests(3), p.Slots(), nil)
			if !errors.Is(err, ErrNoServers) || !strings.Contains(err.Error(), a.client.Host()) || !strings.Contains(err.Error(), b.client.Host()) {
				t.Errorf("with all servers dead: %v", err)
			}
			if _, err := p.PushFile(context.Background(), file(t)); !errors.Is(err, ErrNoServers) {
				t.Errorf("push with all servers dead: %v", err)
			}
		})
	}
}

// What would fail on any server costs none its place.
func TestPoolBlamesNoServerForTheRequest(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":"bad option"}`, http.StatusBadRequest)
	}
	p := NewPool([]*Client{fake(t, refuse), fake(t, refuse)}, []int{1, 1})
	p.Warn = func(w string) { t.Errorf("warning %q", w) }
	var e *APIError
	if _, err := p.Reply(context.Background(), Request{}); !errors.As(err, &e) {
		t.Errorf("a refused request: %v", err)
	}
	if _, err := p.PushFile(context.Background(), "nowhere.gguf"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Reply(ctx, Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A server that never answers is as good as dead to a pool.
func TestPoolLeavesOutTheSilent(t *testing.T) {
	silent := fake(t, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&struct{}{})
		<-r.Context().Done()
	})
	silent.Timeout = 10 * time.Millisecond
	b := newSlow(t, "b")
	p := NewPool([]*Client{silent, b.client}, []int{2, 2})
	replies, err := Rollout(context.Background(), p, requests(8), p.Slots(), nil)
	if err != nil || len(replies) != 8 {
		t.Errorf("%d replies, %v", len(replies), err)
	}
}
