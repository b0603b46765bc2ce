package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// chatRequest is what a server of Ollama's API reads.
type chatRequest struct {
	Model    string
	Messages []struct{ Role, Content string }
	Stream   *bool
	Think    *bool
	Format   struct {
		Type       string
		Properties map[string]struct {
			Type string
			Enum []int
		}
		Required []string
	}
	Options map[string]any
}

// judgeServer answers /api/chat with the contents that answer gives.
func judgeServer(t *testing.T, answer func(chatRequest) string) Spec {
	url, _ := serve(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		var in chatRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/chat" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		json.NewEncoder(w).Encode(map[string]any{
			"model": in.Model, "message": map[string]string{"role": "assistant", "content": answer(in)}, "done": true, "done_reason": "stop",
		})
	})
	return Spec{Type: TypeOllama, URL: url, Model: "judge:1b", Rubric: "Is it polite?", RetryWait: time.Nanosecond}
}

func TestOllamaRequest(t *testing.T) {
	var got chatRequest
	s := judgeServer(t, func(in chatRequest) string { got = in; return `{"score": 4}` })
	s.Scale, s.URL = 5, s.URL+"/"
	out, err := build(t, s).Score(t.Context(), []Sample{{Prompt: "Hello?", Reply: "<Go> away.", Label: json.RawMessage(`{"tone":"rude"}`)}})
	if diff := cmp.Diff([]float64{.75}, out); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if got.Model != "judge:1b" || got.Stream == nil || *got.Stream || got.Think == nil || *got.Think {
		t.Errorf("request %+v", got)
	}
	if diff := cmp.Diff(map[string]any{"temperature": 0.0, "num_predict": 48.0, "proxy": "none"}, got.Options); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	if f := got.Format; f.Type != "object" || !slices.Equal(f.Required, []string{"score"}) ||
		f.Properties["score"].Type != "integer" || !slices.Equal(f.Properties["score"].Enum, []int{1, 2, 3, 4, 5}) {
		t.Errorf("schema %+v", f)
	}
	if len(got.Messages) != 2 {
		t.Fatalf("messages %+v", got.Messages)
	}
	for i, parts := range [][]string{{"Is it polite?", "from 1, the worst, to 5, the best"}, {"Hello?", "<Go> away.", `{"tone":"rude"}`}} {
		for _, part := range parts {
			if !strings.Contains(got.Messages[i].Content, part) {
				t.Errorf("message %d lacks %q: %q", i, part, got.Messages[i].Content)
			}
		}
	}
}

// Every number of the scale has its reward, in the order of the samples.
func TestOllamaScale(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	s := judgeServer(t, func(in chatRequest) string {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		running--
		mu.Unlock()
		var n int
		_, tail, _ := strings.Cut(in.Messages[1].Content, "reply ")
		fmt.Sscan(tail, &n)
		return fmt.Sprintf(" {\"score\":%d}\n", n)
	})
	s.Parallel = 3
	var samples []Sample
	var want []float64
	for n := range 10 {
		samples = append(samples, Sample{Reply: fmt.Sprint("reply ", n+1)})
		want = append(want, float64(n)/9)
	}
	out, err := build(t, s).Score(t.Context(), samples)
	if diff := cmp.Diff(want, out); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if most > 3 {
		t.Errorf("%d questions at once, want 3 at most", most)
	}
}

// A judge that gives no valid answer is told so once, and then the sample fails
// alone.
func TestOllamaRetries(t *testing.T) {
	var asked atomic.Int64
	s := judgeServer(t, func(in chatRequest) string {
		asked.Add(1)
		again := len(in.Messages) == 4
		if again && (in.Messages[2].Role != "assistant" || in.Messages[2].Content != "nine" || in.Messages[3].Role != "user") {
			t.Errorf("asked again with %+v", in.Messages)
		}
		switch {
		case strings.Contains(in.Messages[1].Content, "never"), strings.Contains(in.Messages[1].Content, "late") && !again:
			return "nine"
		}
		return `{"score":10}`
	})
	out, err := build(t, s).Score(t.Context(), repliesOf("never", "late", "soon", "never"))
	some, ok := errors.AsType[*PartialError](err)
	if out != nil || !ok {
		t.Fatalf("%v, %v", out, err)
	}
	want := PartialError{Failures: []Failure{{0, errNoVerdict}, {3, errNoVerdict}}, Scores: []float64{1, 1}}
	if diff := cmp.Diff(want, *some, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if asked.Load() != 7 {
		t.Errorf("%d questions, want 7", asked.Load())
	}
}

// What is wrong with the server is an error for all.
func TestOllamaServerErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		status   int
		body     string
		requests int64
		want     string
	}{
		"no model":   {404, `{"error":"model 'judge:1b' not found"}`, 1, "ollama pull judge:1b"},
		"starting":   {503, `{"error":"busy"}`, 2, "try 2 of 2: the server answered 503"},
		"forbidden":  {401, ``, 1, "give a token under headers"},
		"no ollama":  {200, `<html>`, 1, "does not answer like Ollama"},
		"no message": {200, `{"done":true}`, 1, "does not answer like Ollama"},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := serve(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			})
			s := Spec{Type: TypeOllama, URL: url, Model: "judge:1b", Rubric: "r", Retries: 1, RetryWait: time.Nanosecond}
			j, err := Judge(t.Context(), build(t, s), make([]Sample, 1), 1)
			if j != nil || err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), url) || requests.Load() != tc.requests {
				t.Errorf("%+v, %v after %d requests", j, err, requests.Load())
			}
		})
	}
	s := Spec{Type: TypeOllama, Model: "m", Rubric: "r", Headers: map[string]string{"A": "$REWARD_TEST_UNSET"}}
	if _, err := New(s); err == nil || !strings.Contains(err.Error(), "REWARD_TEST_UNSET") {
		t.Errorf("unset variable: %v", err)
	}
	if _, err := build(t, Spec{Type: TypeOllama, Model: "m", Rubric: "r"}).Score(t.Context(), []Sample{{Label: json.RawMessage("{")}}); err == nil || !strings.Contains(err.Error(), "label is not JSON") {
		t.Errorf("bad label: %v", err)
	}
}

func TestDecodeVerdict(t *testing.T) {
	for text, want := range map[string]int{
		`{"score":1}`: 1, ` {"score": 10.0, "why": "x"} `: 10, `{"score":1e1}`: 10,
		``: 0, `7`: 0, `{"score":"7"}`: 0, `{"score":null}`: 0, `{"score":0}`: 0, `{"score":11}`: 0, `{"score":2.5}`: 0,
		`{"Score":7}`: 0, `{"score":7`: 0, `{"score":7}{"score":7}`: 0, `{"score":[7]}`: 0, `{"score":1e999}`: 0, `{}`: 0,
	} {
		got, err := decodeVerdict(text, 10)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func FuzzDecodeVerdict(f *testing.F) {
	for _, seed := range []string{`{"score":1}`, `{"score":10.0}`, `{"score":"7"}`, `{"score":-1}`, `{"score":1e300}`, "```json\n{\"score\":7}```"} {
		f.Add(seed, 10)
	}
	f.Fuzz(func(t *testing.T, text string, scale int) {
		scale = min(max(scale, 2), maxScale)
		n, err := decodeVerdict(text, scale)
		if err != nil {
			return
		}
		if n < 1 || n > scale {
			t.Fatalf("score %d of %d", n, scale)
		}
		if again, err := decodeVerdict(fmt.Sprintf(`{"score":%d}`, n), scale); again != n || err != nil {
			t.Fatalf("%d, %v", again, err)
		}
	})
}
