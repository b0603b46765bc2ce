package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// remoteSpec retries at once.
func remoteSpec(url string) Spec {
	return Spec{Type: TypeHTTP, URL: url, RetryWait: time.Nanosecond}
}

// serve answers the i-th request, from 1, with a status and a body.
func serve(t *testing.T, answer func(i int64, w http.ResponseWriter, r *http.Request)) (url string, requests *atomic.Int64) {
	requests = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(requests.Add(1), w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func TestHTTPContract(t *testing.T) {
	t.Setenv("REWARD_TEST_TOKEN", "secret")
	var got map[string]any
	var header http.Header
	url, _ := serve(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if r.Method != http.MethodPost || r.URL.Path != "/get_reward" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		json.NewDecoder(r.Body).Decode(&got)
		io.WriteString(w, `{"scores": null, "rewards": [0.5, -2, 1e-3], "extra_logs": {"dummy": [1, 2]}}`)
	})
	s := remoteSpec(url + "/get_reward")
	s.Headers = map[string]string{"Authorization": "Bearer ${REWARD_TEST_TOKEN}", "X-Price": "$$5"}
	s.Weight = new(2.0)
	out, err := build(t, s).Score(t.Context(), []Sample{
		{Prompt: "Hello?", Reply: " <Hi>"},
		{Prompt: "Größe?", Reply: "1,80 m", Label: json.RawMessage(`{"answer": "1,80"}`)},
		{Label: json.RawMessage(`"x"`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{1, -4, 2e-3}, out); diff != "" {
		t.Errorf("rewards (-want +got):\n%s", diff)
	}
	want := map[string]any{
		"query":   []any{"Hello? <Hi>", "Größe?1,80 m", ""},
		"prompts": []any{"Hello?", "Größe?", ""},
		"labels":  []any{nil, map[string]any{"answer": "1,80"}, "x"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if header.Get("Content-Type") != "application/json" || header.Get("Authorization") != "Bearer secret" || header.Get("X-Price") != "$5" {
		t.Errorf("header %v", header)
	}
}

func TestHTTPRetries(t *testing.T) {
	const ok = `{"rewards":[1]}`
	for _, tc := range []struct {
		name     string
		statuses []int // of the first answers; then 200
		retries  int
		requests int64
		fails    string // "" = succeeds
	}{
		{"500 then ok", []int{500}, 0, 2, ""},
		{"busy, starting, ok", []int{429, 503, 408, 502}, 0, 5, ""},
		{"500 for ever", slices.Repeat([]int{500}, 9), 0, 5, "try 5 of 5: the server answered 500"},
		{"no retry", []int{500}, -1, 1, "try 1 of 1: the server answered 500"},
		{"one retry", []int{500, 500}, 1, 2, "try 2 of 2"},
		{"not found is final", []int{404}, 0, 1, "/get_reward"},
		{"forbidden is final", []int{403}, 0, 1, "give a token under headers"},
		{"created is no answer", []int{201}, 0, 1, "201"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, requests := serve(t, func(i int64, w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if !strings.Contains(string(body), `"prompts":["p"]`) {
					t.Errorf("request %d: %q", i, body)
				}
				if int(i) <= len(tc.statuses) {
					w.WriteHeader(tc.statuses[i-1])
					io.WriteString(w, "the cause\n")
					return
				}
				io.WriteString(w, ok)
			})
			s := remoteSpec(url)
			s.Retries = tc.retries
			out, err := build(t, s).Score(t.Context(), []Sample{{Prompt: "p"}})
			if requests.Load() != tc.requests {
				t.Errorf("%d requests, want %d", requests.Load(), tc.requests)
			}
			if tc.fails == "" {
				if diff := cmp.Diff([]float64{1}, out); diff != "" || err != nil {
					t.Errorf("%v, %v", out, err)
				}
				return
			}
			if out != nil || err == nil {
				t.Fatalf("%v, %v", out, err)
			}
			for _, part := range []string{tc.fails, "POST " + url, `"the cause"`} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
		})
	}
}

// What cannot be read is an error, is never 0, and is not asked for again.
func TestHTTPBadAnswers(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"too few":       {`{"rewards":[1]}`, "1 rewards for 2 samples"},
		"too many":      {`{"rewards":[1,2,3]}`, "3 rewards for 2 samples"},
		"no list":       {`{"rewards":null}`, "0 rewards for 2 samples"},
		"NaN as string": {`{"rewards":[1,"NaN"]}`, "not a flat list of numbers"},
		"NaN":           {`{"rewards":[1,NaN]}`, "JSON has no NaN"},
		"too large":     {`{"rewards":[1,1e999]}`, "1e999"},
		"nested":        {`{"rewards":[[1],[2]]}`, "not a flat list"},
		"other field":   {`{"score":[1,2],"a":0}`, `no field "rewards", only ["a" "score"]`},
		"other case":    {`{"Rewards":[1,2]}`, `no field "rewards"`},
		"array":         {`[1,2]`, "not a JSON object"},
		"page":          {`<html>`, "it begins \"<html>\""},
		"empty":         {``, "not a JSON object"},
		"two":           {`{"rewards":[1,2]}{}`, "not a JSON object"},
		"huge":          {`{"rewards":[1,2],"log":"` + strings.Repeat("x", 2<<20) + `"}`, "larger than 1050624 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := serve(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, tc.body) })
			out, err := build(t, remoteSpec(url)).Score(t.Context(), []Sample{{}, {}})
			if out != nil || err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), url) {
				t.Errorf("%v, %v; want an error with %q", out, err, tc.want)
			}
			if requests.Load() != 1 {
				t.Errorf("%d requests", requests.Load())
			}
		})
	}
}

// A reply that the server gives null for fails alone.
func TestHTTPNullIsAFailure(t *testing.T) {
	url, _ := serve(t, func(_ int64, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"rewards":[1,null,-3]}`) })
	out, err := build(t, remoteSpec(url)).Score(t.Context(), make([]Sample, 3))
	some, ok := errors.AsType[*PartialError](err)
	if out != nil || !ok {
		t.Fatalf("%v, %v", out, err)
	}
	want := PartialError{Failures: []Failure{{1, errUnjudged}}, Scores: []float64{1, -3}}
	if diff := cmp.Diff(want, *some, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A server that says when to come back is asked then and not before.
func TestHTTPRetryAfter(t *testing.T) {
	url, requests := serve(t, func(i int64, w http.ResponseWriter, _ *http.Request) {
		if i == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, `{"rewards":[1]}`)
	})
	s := remoteSpec(url)
	s.RetryWait = time.Hour // but the server says at once
	if out, err := build(t, s).Score(t.Context(), []Sample{{}}); err != nil || out[0] != 1 || requests.Load() != 2 {
		t.Errorf("%v, %v after %d requests", out, err, requests.Load())
	}
}

// A body without end is not read without end.
func TestHTTPEndlessAnswer(t *testing.T) {
	url, _ := serve(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		block := []byte(strings.Repeat(" ", 1<<16))
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	out, err := build(t, remoteSpec(url)).Score(t.Context(), []Sample{{}})
	if out != nil || err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v, %v", out, err)
	}
}

// slow answers the first n requests only when the caller has gone.
func slow(t *testing.T, n int64) (url string, requests *atomic.Int64) {
	return serve(t, func(i int64, w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // or the server does not notice
		if i <= n {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, `{"rewards":[1]}`)
	})
}

func TestHTTPSlowServer(t *testing.T) {
	url, requests := slow(t, 1000)
	s := remoteSpec(url)
	s.Timeout, s.Retries = 300*time.Millisecond, 1
	out, err := build(t, s).Score(t.Context(), []Sample{{}})
	if out != nil || err == nil || !strings.Contains(err.Error(), "try 2 of 2: no answer within 300ms; raise timeout") || requests.Load() != 2 {
		t.Errorf("%v, %v after %d requests", out, err, requests.Load())
	}

	url, _ = slow(t, 1)
	s.URL, s.Retries = url, 20
	if out, err := build(t, s).Score(t.Context(), []Sample{{}}); err != nil || out[0] != 1 {
		t.Errorf("slow once: %v, %v", out, err)
	}
}

func TestHTTPCallerGivesUp(t *testing.T) {
	cause := errors.New("run stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	url, requests := serve(t, func(_ int64, _ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		cancel(cause)
		<-r.Context().Done()
	})
	out, err := build(t, remoteSpec(url)).Score(ctx, []Sample{{}})
	if out != nil || !errors.Is(err, cause) || requests.Load() != 1 {
		t.Errorf("%v, %v after %d requests", out, err, requests.Load())
	}

	// And while waiting for the next try.
	ctx, cancel = context.WithCancelCause(t.Context())
	url, _ = serve(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		time.AfterFunc(10*time.Millisecond, func() { cancel(cause) })
	})
	s := remoteSpec(url)
	s.RetryWait = time.Hour
	if out, err := build(t, s).Score(ctx, []Sample{{}}); out != nil || !errors.Is(err, cause) {
		t.Errorf("%v, %v", out, err)
	}
}

func TestHTTPRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	s := remoteSpec("http://user:hunter2@" + address + "/get_reward")
	s.Retries = 1
	out, err := build(t, s).Score(t.Context(), []Sample{{}})
	if out != nil || err == nil {
		t.Fatalf("%v, %v", out, err)
	}
	for _, part := range []string{address + "/get_reward", "connection refused", "try 2 of 2", "is the server running"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %q shows the password", err)
	}
}

// A connection that breaks off in the answer is tried again.
func TestHTTPBrokenAnswer(t *testing.T) {
	url, requests := serve(t, func(i int64, w http.ResponseWriter, _ *http.Request) {
		if i == 1 {
			w.Header().Set("Content-Length", "100")
		}
		io.WriteString(w, `{"rewards":[1]}`)
	})
	out, err := build(t, remoteSpec(url)).Score(t.Context(), []Sample{{}})
	if err != nil || out[0] != 1 || requests.Load() != 2 {
		t.Errorf("%v, %v after %d requests", out, err, requests.Load())
	}
}

func TestHTTPWithoutRequest(t *testing.T) {
	url, requests := serve(t, func(int64, http.ResponseWriter, *http.Request) {})
	r := build(t, remoteSpec(url))
	if out, err := r.Score(t.Context(), nil); err != nil || len(out) != 0 {
		t.Errorf("no samples: %v, %v", out, err)
	}
	if out, err := r.Score(t.Context(), []Sample{{}, {Label: json.RawMessage("{")}}); out != nil || err == nil || !strings.Contains(err.Error(), "sample 2 of 2: its label is not JSON") {
		t.Errorf("bad label: %v, %v", out, err)
	}
	if requests.Load() != 0 {
		t.Errorf("%d requests", requests.Load())
	}
	s := remoteSpec(url)
	s.Headers = map[string]string{"Authorization": "$REWARD_TEST_UNSET"}
	if _, err := New(s); err == nil || !strings.Contains(err.Error(), `reward: headers: Authorization: environment variable "REWARD_TEST_UNSET"`) {
		t.Errorf("unset variable: %v", err)
	}
}

func FuzzDecodeRewards(f *testing.F) {
	for _, seed := range []string{
		`{"rewards":[1,-2.5]}`, `{"rewards":[]}`, `{"rewards":null}`, `{"rewards":[null,1]}`, `{"rewards":[1e308,1e309]}`, `{"rewards":["NaN"]}`,
		`{"rewards":[1],"rewards":[2,3]}`, `{"rewards":[[1]]}`, `null`, `[1]`, `NaN`, ``,
	} {
		f.Add([]byte(seed), 2)
	}
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		n = min(max(n, 0), 1000)
		out, failures, err := decodeRewards(data, n)
		if err != nil {
			return
		}
		if len(out) != n || len(failures) != n {
			t.Fatalf("%d rewards and %d failures, want %d", len(out), len(failures), n)
		}
		for _, x := range out {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("reward %v", x)
			}
		}
		// What was accepted reads the same after being written again.
		again, _, err := decodeRewards(fmt.Appendf(nil, `{"rewards":%s}`, must(json.Marshal(out))), n)
		if diff := cmp.Diff(out, again); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
