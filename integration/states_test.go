//go:build patched

package integration

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// ask posts a request and reads its answer into out.
func (s *server) ask(path string, request map[string]any, out any) error {
	if _, ok := request["model"]; !ok {
		request["model"] = model
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	resp, err := http.Post(s.url+path, "application/json", strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e struct{ Error string }
		_ = json.NewDecoder(resp.Body).Decode(&e)
		return &statusError{resp.StatusCode, e.Error}
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// distance is that between two vectors in units of the first one's length.
func distance(a, b wire.Vector) float64 {
	var difference, length float64
	for i := range a {
		difference += float64(a[i]-b[i]) * float64(a[i]-b[i])
		length += float64(a[i]) * float64(a[i])
	}
	return math.Sqrt(difference / length)
}

// What another batch, or another place in the cache, changes in the states of a quantised model: roundings of activations.
const sameState = 0.03

func checkStates(t *testing.T, what string, want, got wire.States) {
	t.Helper()
	if len(want.Mean) != modelShape.EmbeddingLength || len(got.Mean) != len(want.Mean) || len(got.Last) != len(want.Mean) || got.Tokens != want.Tokens {
		t.Errorf("%s: %d tokens and %d values, want %d and %d", what, got.Tokens, len(got.Mean), want.Tokens, modelShape.EmbeddingLength)
		return
	}
	mean, last := distance(want.Mean, got.Mean), distance(want.Last, got.Last)
	t.Logf("%s: the mean is %.4f off, the last state %.4f", what, mean, last)
	if !(mean < sameState) || !(last < 2*sameState) {
		t.Errorf("%s: the mean is %.4f off, the last state %.4f", what, mean, last)
	}
}

// The states that come with a generated reply are those of the same reply given, however it ended and whoever shares the batch.
func TestStatesOfRepliesAgree(t *testing.T) {
	s := patched(t)
	for _, features := range bothFeatures {
		digest := s.push(t, newProxy(t, features, 2, nil))
		var compared, ended int
		var counting sync.Mutex
		var group sync.WaitGroup
		for i, q := range questions[:12] {
			group.Go(func() {
				// Everything accepted is greedy decoding, whose tokens are mostly those that the tokenizer makes of the text.
				options := map[string]any{"proxy": digest, "proxy_cutoff": 0.0, "proxy_trace": wire.TraceFeatures, "num_predict": 24}
				request := map[string]any{"prompt": q, "options": options}
				if i%3 == 0 { // a reply that ends by itself
					options["num_predict"] = 400
				}
				r, err := s.try("/api/generate", request)
				if err != nil {
					t.Error(err)
					return
				}
				states := r.ProxyStates
				if states == nil {
					t.Errorf("%q: no states", q)
					return
				}
				fed := r.EvalCount
				if features == "prefix" || r.DoneReason == "stop" {
					fed--
				}
				if states.Tokens != fed {
					t.Errorf("%q: states of %d tokens, want %d of %d, ended by %s", q, states.Tokens, fed, r.EvalCount, r.DoneReason)
				}
				var given wire.StatesReply
				err = s.ask(wire.StatesPath, map[string]any{"prompt": request["prompt"], "reply": r.Response, "limit": fed}, &given)
				if err != nil {
					t.Error(err)
					return
				}
				var whole wire.TokensReply
				err = s.ask(wire.TokensPath, map[string]any{"inputs": []any{map[string]any{"prompt": r.Response, "raw": true}}}, &whole)
				if err != nil {
					t.Error(err)
					return
				}
				counting.Lock()
				defer counting.Unlock()
				tokens := r.EvalCount
				if r.DoneReason == "stop" {
					tokens--
				}
				if whole.Results[0].Tokens != tokens {
					return // the text has shorter tokens than the proxy chose
				}
				compared++
				if r.DoneReason == "stop" {
					ended++
				}
				checkStates(t, fmt.Sprintf("%s, %q, ended by %s", features, q, r.DoneReason), *states, given.States)
			})
		}
		group.Wait()
		if compared < 6 || ended == 0 {
			t.Errorf("%s: %d replies compared, %d of them ended by themselves: this test shows too little", features, compared, ended)
		}
	}
}

// A given reply has the same states alone and with others, at any length of the reply, and says what did not fit.
func TestStatesOfGivenReplies(t *testing.T) {
	s := patched(t)
	reply := strings.Repeat("The sky is blue because of the air in it. ", 20)
	read := func(request map[string]any) wire.StatesReply {
		t.Helper()
		var out wire.StatesReply
		if err := s.ask(wire.StatesPath, request, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	alone := read(map[string]any{"prompt": questions[4], "reply": reply})
	if alone.Cut != 0 || alone.Tokens < 150 || !strings.HasPrefix(alone.Digest, "sha256:") || alone.EmbeddingLength != modelShape.EmbeddingLength {
		t.Errorf("cut %d, %d tokens, digest %q, d %d", alone.Cut, alone.Tokens, alone.Digest, alone.EmbeddingLength)
	}
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			if i%2 == 1 {
				if _, err := s.try("/api/generate", map[string]any{"prompt": questions[i], "options": map[string]any{"num_predict": 30}}); err != nil {
					t.Error(err)
				}
				return
			}
			var out wire.StatesReply
			if err := s.ask(wire.StatesPath, map[string]any{"prompt": questions[4], "reply": reply}, &out); err != nil {
				t.Error(err)
				return
			}
			checkStates(t, "in company", alone.States, out.States)
		})
	}
	group.Wait()

	chat := read(map[string]any{"messages": []any{map[string]any{"role": "user", "content": questions[4]}}, "reply": reply})
	checkStates(t, "as messages", alone.States, chat.States)
	raw := read(map[string]any{"prompt": questions[4], "raw": true, "reply": reply})
	if raw.PromptTokens >= alone.PromptTokens || distance(alone.Mean, raw.Mean) < sameState {
		t.Errorf("raw: a prompt of %d tokens, with the template %d; the states are %.4f apart", raw.PromptTokens, alone.PromptTokens, distance(alone.Mean, raw.Mean))
	}
	empty := read(map[string]any{"prompt": questions[4], "reply": ""})
	if d := cmp.Diff(empty.Mean, empty.Last); empty.Tokens != 0 || d != "" {
		t.Errorf("an empty reply: %d tokens\n%s", empty.Tokens, d)
	}
	long := read(map[string]any{"prompt": questions[4], "reply": strings.Repeat(reply, 10)})
	if want := alone.PromptTokens + 10*alone.Tokens; long.PromptTokens != 1 || long.PromptTokens+long.Tokens+long.Cut < want-20 || long.PromptTokens+long.Tokens+long.Cut > want+20 {
		t.Errorf("too long: %d tokens of the prompt, %d of the reply and %d cut, want 1 of the prompt and about %d in all", long.PromptTokens, long.Tokens, long.Cut, want)
	}
}

// The text and the count are those that a chat is begun with.
func TestTokens(t *testing.T) {
	s := patched(t)
	s.create(t, "with-system", map[string]any{"from": model, "system": "You are a pirate."})
	messages := []any{
		map[string]any{"role": "user", "content": questions[0]}, map[string]any{"role": "assistant", "content": "It was long."},
		map[string]any{"role": "user", "content": questions[1]},
	}
	for _, name := range []string{model, "with-system"} {
		var got wire.TokensReply
		check(t, s.ask(wire.TokensPath, map[string]any{"model": name, "inputs": []any{
			map[string]any{"messages": messages}, map[string]any{"prompt": questions[2]}, map[string]any{"prompt": questions[2], "raw": true},
		}}, &got))
		for i, request := range []struct {
			path string
			body map[string]any
		}{
			{"/api/chat", map[string]any{"messages": messages}},
			{"/api/generate", map[string]any{"prompt": questions[2]}},
			{"/api/generate", map[string]any{"prompt": questions[2], "raw": true}},
		} {
			request.body["model"], request.body["stream"], request.body["options"] = name, false, map[string]any{"num_predict": 1}
			var answer struct {
				PromptEvalCount int `json:"prompt_eval_count"`
			}
			check(t, s.ask(request.path, request.body, &answer))
			if r := got.Results[i]; r.Tokens != answer.PromptEvalCount {
				t.Errorf("%s, input %d: %d tokens in %q, but the LLM was fed %d", name, i, r.Tokens, r.Prompt, answer.PromptEvalCount)
			}
		}
		if r := got.Results[2]; r.Prompt != questions[2] {
			t.Errorf("raw: %q", r.Prompt)
		}
		if pirate := strings.Contains(got.Results[0].Prompt, "pirate"); pirate != (name == "with-system") {
			t.Errorf("%s: %q", name, got.Results[0].Prompt)
		}
	}
}

func TestRolloutEndpointsRefuse(t *testing.T) {
	s := patched(t)
	users := usersServer(t)
	user := []any{map[string]any{"role": "user", "content": "Hello"}}
	image := []any{map[string]any{"role": "user", "content": "Hello", "images": [][]byte{{1}}}}
	for _, test := range []struct {
		server  *server
		path    string
		request map[string]any
		status  int
		want    string
	}{
		{users, wire.StatesPath, map[string]any{"prompt": "Hello", "reply": "Hi"}, http.StatusForbidden, wire.RolloutVariable + "=1"},
		{users, wire.TokensPath, map[string]any{}, http.StatusForbidden, wire.RolloutVariable + "=1"},
		{s, wire.StatesPath, map[string]any{"reply": "Hi"}, http.StatusBadRequest, "both are empty"},
		{s, wire.StatesPath, map[string]any{"prompt": "Hello", "messages": user, "reply": "Hi"}, http.StatusBadRequest, "one of them"},
		{s, wire.StatesPath, map[string]any{"raw": true, "messages": user, "reply": "Hi"}, http.StatusBadRequest, "raw"},
		{s, wire.StatesPath, map[string]any{"messages": image, "reply": "Hi"}, http.StatusBadRequest, "images"},
		{s, wire.StatesPath, map[string]any{"prompt": "Hello", "limit": -1}, http.StatusBadRequest, "limit"},
		{s, wire.StatesPath, map[string]any{"prompt": "Hello", "reply": 7}, http.StatusBadRequest, "reply"},
		{s, wire.StatesPath, map[string]any{"model": "nobody", "prompt": "Hello"}, http.StatusNotFound, "nobody"},
		{s, wire.TokensPath, map[string]any{"inputs": []any{map[string]any{"prompt": "a"}, map[string]any{}}}, http.StatusBadRequest, "number 1"},
	} {
		var out any
		err := test.server.ask(test.path, test.request, &out)
		e, ok := err.(*statusError)
		if !ok || e.status != test.status || !strings.Contains(e.message, test.want) {
			t.Errorf("%s %v: %v, want %d with %q", test.path, test.request, err, test.status, test.want)
		}
	}
}
