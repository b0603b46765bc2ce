package env

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// fake is a server that answers with what handle says.
func fake(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	c, err := NewClient(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewClient(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1:11434": "127.0.0.1:11434", "localhost": "localhost:11434", "http://10.0.0.1:80": "10.0.0.1:80", "": "",
	} {
		c, err := NewClient(host)
		if want == "" {
			if err == nil {
				t.Errorf("%q: no error", host)
			}
			continue
		}
		if err != nil || c.Host() != want {
			t.Errorf("%q: %v, %v, want %s", host, c, err, want)
		}
	}
}

func TestVersion(t *testing.T) {
	for body, want := range map[string]string{
		`{"version":"0.24.0","proxy_rlhf":{"version":"v1","patches":"abc","rollout":true}}`: "",
		`{"version":"0.24.0"}`: "has no proxies",
		`<html>`:               "not an Ollama server",
	} {
		c := fake(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		v, err := c.Version(context.Background())
		if want == "" {
			if d := cmp.Diff(wire.ServerVersion{Version: "v1", Patches: "abc", Rollout: true}, v); err != nil || d != "" {
				t.Errorf("%s: %v\n%s", body, err, d)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", body, err, want)
		}
	}
}

func TestChat(t *testing.T) {
	var request map[string]any
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, `{"message":{"content":"Hi"},"done":true,"done_reason":"stop","eval_count":2,"eval_duration":5,
			"proxy":{"accepted":1,"forced":1},"decisions":[{"position":0,"action":"accept","accept":0.5,"features":"AAA="}],
			"logprobs":[{"logprob":-1},{"logprob":-3}]}`)
	})
	got, err := c.Chat(context.Background(), Request{Model: "m", Prompt: prompts.Prompt{Text: "Hello", ID: "1"}, Options: map[string]any{"seed": 7}, LogProbs: true})
	if err != nil {
		t.Fatal(err)
	}
	p := 0.5
	want := Reply{
		Prompt: prompts.Prompt{Text: "Hello", ID: "1"}, Text: "Hi", DoneReason: "stop", Tokens: 2, Duration: 5,
		Proxy:     &wire.Stats{Accepted: 1, Forced: 1},
		Decisions: []wire.Decision{{Action: wire.Accept, Accept: &p, Features: []byte{0, 0}}},
		LogProbs:  []float64{-1, -3},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("reply −want +got\n%s", d)
	}
	if d := cmp.Diff(map[string]any{
		"model": "m", "stream": false, "logprobs": true, "options": map[string]any{"seed": 7.0},
		"messages": []any{map[string]any{"role": "user", "content": "Hello"}},
	}, request); d != "" {
		t.Errorf("request −want +got\n%s", d)
	}
	if mean, n := got.NLL(); mean != 2 || n != 2 {
		t.Errorf("NLL %g of %d tokens, want 2 of 2", mean, n)
	}
	if got := Perplexity([]Reply{got, {LogProbs: []float64{-5}}}); math.Abs(got-math.Exp(3)) > 1e-12 {
		t.Errorf("perplexity %g, want e³", got)
	}
	if got := Perplexity(nil); !math.IsNaN(got) {
		t.Errorf("perplexity of nothing is %g", got)
	}
}

func requests(n int) []Request {
	out := make([]Request, n)
	for i := range out {
		out[i].Prompt = prompts.Prompt{Text: fmt.Sprint(i), ID: fmt.Sprint(i)}
	}
	return out
}

// Replies come in the order of the requests, never more than parallel are in flight, and a passing failure is tried again.
func TestRollout(t *testing.T) {
	var flying, most, failed atomic.Int32
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if n := flying.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer flying.Add(-1)
		var in struct{ Messages []prompts.Message }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		if in.Messages[0].Content == "3" && failed.Add(1) == 1 {
			http.Error(w, `{"error":"busy"}`, http.StatusServiceUnavailable)
			return
		}
		if in.Messages[0].Content == "5" {
			fmt.Fprint(w, `{"message":{"content":"the the the"},"done":false}`)
			return
		}
		fmt.Fprintf(w, `{"message":{"content":"to %s"},"done":true}`, in.Messages[0].Content)
	})
	reported := 0
	replies, err := Rollout(context.Background(), c, requests(20), 4, func(*Reply) { reported++ })
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range replies {
		want := "to " + fmt.Sprint(i)
		if i == 5 {
			want = ""
		}
		if r.Text != want || (r.DoneReason == DoneCut) != (i == 5) {
			t.Errorf("reply %d: %q (%s)", i, r.Text, r.DoneReason)
		}
	}
	if reported != 20 || most.Load() > 4 {
		t.Errorf("%d replies reported, up to %d in flight", reported, most.Load())
	}
}

func TestRolloutErrors(t *testing.T) {
	var calls atomic.Int32
	c := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		http.Error(w, `{"error":"option \"proxy_pt\": want a number"}`, http.StatusBadRequest)
	})
	_, err := Rollout(context.Background(), c, requests(1), 1, nil)
	var e *APIError
	if !errors.As(err, &e) || e.Status != http.StatusBadRequest || !strings.Contains(err.Error(), c.Host()) || calls.Load() != 1 {
		t.Errorf("after %d calls: %v", calls.Load(), err)
	}
	slow := fake(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // a server sees that its client has left only once the body is read
		<-r.Context().Done()
	})
	slow.Timeout = 20 * time.Millisecond
	if _, err := Rollout(context.Background(), slow, requests(1), 1, nil); !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "ollama.timeout") {
		t.Errorf("a server that never answers: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Rollout(ctx, c, requests(3), 2, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDetails(t *testing.T) {
	c := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/tags" {
			fmt.Fprint(w, `{"models":[{"name":"other:latest","size":1},{"name":"m:latest","size":1000}]}`)
			return
		}
		fmt.Fprint(w, `{"modelfile":"FROM /x/sha256-00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff","model_info":{"general.architecture":"qwen3",
			"qwen3.embedding_length":64,"qwen3.context_length":2048,"qwen3.block_count":3,"qwen3.attention.head_count":8,"qwen3.attention.head_count_kv":2,
			"qwen3.attention.key_length":16,"tokenizer.ggml.tokens":["a","b"]}}`)
	})
	got, err := c.Details(context.Background(), "m")
	if err != nil {
		t.Fatal(err)
	}
	want := Details{
		Base:          proxy.Base{Architecture: "qwen3", EmbeddingLength: 64, VocabSize: 2, Digest: "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
		ContextLength: 2048, Bytes: 1000,
		CacheBytes: 3 * 2 * (16 + 16) * 2, // blocks, heads, a key and a value, bytes
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
}

func TestCacheBytes(t *testing.T) {
	info := func(more modelInfo) modelInfo {
		m := modelInfo{"general.architecture": "a", "a.block_count": 2., "a.embedding_length": 12., "a.attention.head_count": 3.}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	for _, tc := range []struct {
		name string
		info modelInfo
		want int64
	}{
		{"ungrouped heads", info(nil), 2 * 3 * (4 + 4) * 2},
		{"grouped heads", info(modelInfo{"a.attention.head_count_kv": 1.}), 2 * 1 * (4 + 4) * 2},
		{"values of another length", info(modelInfo{"a.attention.key_length": 8., "a.attention.value_length": 2.}), 2 * 3 * (8 + 2) * 2},
		{"another number in each block", info(modelInfo{"a.attention.head_count_kv": []any{1., 2.}}), 0},
		{"no attention", modelInfo{"general.architecture": "a"}, 0},
	} {
		if got := tc.info.cacheBytes(); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}
