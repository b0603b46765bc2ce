//go:build patched

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// The small random model of the tests that want many replies and care little for what they say.
const randomName = "random"

var randomShape = proxy.Base{Architecture: "llama", EmbeddingLength: randomWidth, VocabSize: randomVocabulary}

// ensureRandom makes the random model, and returns the digests of a proxy of each kind for it.
func ensureRandom(t testing.TB, s *server) map[proxy.Features]string {
	t.Helper()
	if status, _ := s.call(t, "/api/show", map[string]any{"model": randomName}); status != http.StatusOK {
		data, _ := randomModel(t, "llama", 1)
		s.create(t, randomName, map[string]any{"files": map[string]string{"model.gguf": s.push(t, data)}})
	}
	digests := map[proxy.Features]string{}
	for _, f := range bothFeatures {
		digests[f] = s.push(t, newProxyFor(t, randomShape, f, 3, nil))
	}
	return digests
}

// attach makes a model out of another one and a proxy, with parameters as a Modelfile has them.
func (s *server) attach(t testing.TB, name, from, digest string, parameters map[string]any) {
	t.Helper()
	s.create(t, name, map[string]any{"from": from, "adapters": map[string]string{"proxy.gguf": digest}, "parameters": parameters})
}

// A route is one way for a request to come and its reply to go.
type route struct {
	path   string
	stream bool
}

func (w route) String() string { return fmt.Sprintf("%s, stream %t", w.path, w.stream) }

var routes = []route{{"/api/generate", false}, {"/api/generate", true}, {"/api/chat", false}, {"/api/chat", true}}

// ask sends a question on that route and returns the whole reply, text in Response.
func (w route) ask(t testing.TB, s *server, name, question string, options map[string]any) reply {
	t.Helper()
	request := map[string]any{"model": name, "options": options}
	if w.path == "/api/chat" {
		request["messages"] = []map[string]string{{"role": "user", "content": question}}
	} else {
		request["prompt"] = question
	}
	if w.stream {
		return join(s.stream(t, w.path, request))
	}
	r, err := s.try(w.path, request)
	check(t, err)
	return join([]reply{r})
}

// join makes one reply of a streamed one's parts.
func join(parts []reply) reply {
	var whole reply
	for _, part := range parts {
		whole.Response += part.Response + part.Message.Content
		whole.Message.Thinking += part.Message.Thinking
		whole.Message.ToolCalls = append(whole.Message.ToolCalls, part.Message.ToolCalls...)
		whole.Decisions = append(whole.Decisions, part.Decisions...)
		whole.LogProbs = append(whole.LogProbs, part.LogProbs...)
		if part.Done {
			whole.Done, whole.DoneReason, whole.EvalCount = true, part.DoneReason, part.EvalCount
			whole.Proxy, whole.ProxyStates = part.Proxy, part.ProxyStates
		}
		if part.Error != "" {
			whole.Error = part.Error
		}
	}
	return whole
}

// without returns the options without some of them.
func without(options map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for name, v := range options {
		out[name] = v
	}
	for _, name := range names {
		delete(out, name)
	}
	return out
}

// with returns the options with others over them.
func with(options, more map[string]any) map[string]any {
	out := without(options)
	for name, v := range more {
		out[name] = v
	}
	return out
}

// nearly compares replies to the same question of the small model: where in the cache its prompt lies changes the last bits of
// a probability, and whether the last token of a nucleus is still in it.
var nearly = cmp.Options{withoutTimes, cmpopts.EquateApprox(1e-4, 0), cmpopts.IgnoreFields(wire.Decision{}, "Pool", "Features")}

// Every option does what it says, in a request and as a Modelfile's PARAMETER, on both endpoints, streamed and not.
func TestEveryOption(t *testing.T) {
	s := patched(t)
	digests := ensureRandom(t, s)
	own, other := digests[proxy.Prefix], s.push(t, newProxyFor(t, randomShape, proxy.Lookahead, 4, nil))
	common := map[string]any{"num_predict": 6, "proxy_trace": "decisions", "proxy_pt": 1e-3}
	const name, question = "every-option", "Say something."
	s.attach(t, name, randomName, own, nil)
	base := routes[0].ask(t, s, name, question, common)
	checkDecisions(t, base)

	same := func(t *testing.T, r reply) {
		t.Helper()
		if d := cmp.Diff(base, r, nearly); d != "" {
			t.Errorf("want what no option gives −, got +\n%s", d)
		}
	}
	pools := func(most int) func(*testing.T, reply) {
		return func(t *testing.T, r reply) {
			t.Helper()
			widest := 0
			for _, d := range r.Decisions {
				widest = max(widest, d.Pool)
			}
			if widest != most {
				t.Errorf("the widest pool has %d candidates, want %d", widest, most)
			}
		}
	}
	all := func(what string, holds func(d wire.Decision) bool) func(*testing.T, reply) {
		return func(t *testing.T, r reply) {
			t.Helper()
			for i, d := range r.Decisions {
				if !holds(d) {
					t.Errorf("decision %d is %+v, want %s", i, d, what)
				}
			}
		}
	}
	rejections := func(t *testing.T, r reply) (most int) {
		t.Helper()
		for _, d := range r.Decisions {
			most = max(most, d.Rank)
		}
		return most
	}
	for _, test := range []struct {
		name    string
		options map[string]any // nil is null in a request
		check   func(t *testing.T, r reply)
	}{
		{"null is absent", map[string]any{"proxy": nil, "proxy_cutoff": nil, "proxy_max_rejections": nil, "proxy_explore": nil, "temperature": nil, "top_k": nil}, same},
		{"the model's own", map[string]any{"proxy": ""}, same},
		{"the model's own by digest", map[string]any{"proxy": own}, same},
		{"none", map[string]any{"proxy": "none"}, func(t *testing.T, r reply) {
			if r.Proxy != nil || len(r.Decisions) > 0 {
				t.Errorf("a proxy took part: %+v, %d decisions", r.Proxy, len(r.Decisions))
			}
		}},
		{"an uploaded one", map[string]any{"proxy": other}, func(t *testing.T, r reply) {
			if r.Proxy.Digest != other || r.Proxy.Features != "lookahead" {
				t.Errorf("another proxy decided: %+v", r.Proxy)
			}
		}},
		{"p_t 1", map[string]any{"proxy_pt": 1}, all("forced", func(d wire.Decision) bool { return d.Action == wire.Forced && d.Rank == 0 })},
		{"p_t 0, cutoff 1", map[string]any{"proxy_pt": 0, "proxy_cutoff": 1, "top_k": 5}, all("rejected, or the last of its pool", func(d wire.Decision) bool {
			return d.Action == wire.Reject || d.Action == wire.Forced && d.Rank == d.Pool-1
		})},
		{"cutoff 0", map[string]any{"proxy_cutoff": 0}, all("accepted or forced", func(d wire.Decision) bool { return d.Action != wire.Reject && d.Rank == 0 })},
		{"one rejection", map[string]any{"proxy_cutoff": 1, "proxy_max_rejections": 1}, func(t *testing.T, r reply) {
			if n := rejections(t, r); n != 1 {
				t.Errorf("%d rejections at a position, want 1", n)
			}
		}},
		{"0 rejections: no bound", map[string]any{"proxy_cutoff": 1, "proxy_max_rejections": 0}, func(t *testing.T, r reply) {
			if n := rejections(t, r); n < 3 {
				t.Errorf("%d rejections at a position at most, want many", n)
			}
		}},
		{"explore", map[string]any{"proxy_explore": true, "seed": 5}, func(t *testing.T, r reply) {
			if cmp.Equal(actions(base), actions(r)) {
				t.Errorf("exploring decides as not exploring does")
			}
		}},
		{"not explore", map[string]any{"proxy_explore": false, "seed": 5}, same},
		{"no trace", map[string]any{"proxy_trace": ""}, func(t *testing.T, r reply) {
			if r.Decisions != nil || cmp.Diff(base.Response, r.Response) != "" || r.Proxy.Proposed != base.Proxy.Proposed {
				t.Errorf("got %+v", r)
			}
		}},
		{"features", map[string]any{"proxy_trace": "features"}, all("features where the proxy was asked", func(d wire.Decision) bool {
			return (len(d.Features) == 2*2*randomWidth) == (d.Action != wire.Forced)
		})},
		{"temperature 0", map[string]any{"temperature": 0}, pools(1)},
		{"top_k 2", map[string]any{"top_k": 2}, pools(2)},
		{"top_p 0", map[string]any{"top_p": 0}, pools(1)},
		{"min_p 1", map[string]any{"min_p": 1}, pools(1)},
		// Out of range: as stock's sampler takes them.
		{"temperature below 0", map[string]any{"temperature": -1}, pools(1)},
		{"top_p below 0", map[string]any{"top_p": -1}, pools(1)},
		{"min_p above 1", map[string]any{"min_p": 7}, pools(1)},
		{"top_k below 0 is off", map[string]any{"top_k": -1}, same},
		{"penalties stay ignored", map[string]any{"repeat_penalty": 2, "presence_penalty": 2, "frequency_penalty": 2, "repeat_last_n": 64}, same},
	} {
		t.Run(test.name, func(t *testing.T) {
			// The Modelfile's values hold where a request says nothing, the request's over other ones of the Modelfile.
			inModelfile := name + "-modelfile"
			parameters := map[string]any{}
			for name, v := range with(common, test.options) {
				if v != nil {
					parameters[name] = v
				}
			}
			s.attach(t, inModelfile, randomName, own, parameters)
			var first *reply
			for _, w := range routes {
				for model, options := range map[string]map[string]any{name: with(common, test.options), inModelfile: {}} {
					r := w.ask(t, s, model, question, options)
					test.check(t, r)
					if first == nil {
						first = &r
					}
					// A sampler of stock's without a seed is free.
					if d := cmp.Diff(*first, r, nearly); d != "" && r.Proxy != nil {
						t.Errorf("%s, %s: the first way −, this one +\n%s", w, model, d)
					}
				}
			}
		})
	}
	t.Run("0 over the Modelfile's", func(t *testing.T) {
		s.attach(t, name+"-modelfile", randomName, own, map[string]any{"proxy_max_rejections": 1, "proxy_cutoff": 1, "proxy_trace": "decisions", "num_predict": 6, "proxy_pt": 1})
		r := routes[0].ask(t, s, name+"-modelfile", question, map[string]any{"proxy_max_rejections": 0, "proxy_pt": 0, "top_k": 9})
		if n := rejections(t, r); n < 3 {
			t.Errorf("%d rejections at a position at most: 0 did not count", n)
		}
	})
}

// checkDecisions is checkCounts for a reply in which the proxy had something to do.
func checkDecisions(t *testing.T, r reply) {
	t.Helper()
	checkCounts(t, r)
	if r.Proxy.Accepted == 0 || r.Proxy.Rejected == 0 {
		t.Errorf("the proxy accepted %d and rejected %d: this test shows little", r.Proxy.Accepted, r.Proxy.Rejected)
	}
}

// checkCounts checks that the counts say what the trace shows, and that it is the reply.
func checkCounts(t *testing.T, r reply) {
	t.Helper()
	if r.Proxy == nil {
		t.Fatalf("no counts in %+v", r)
	}
	counts := map[string]int{}
	position := 0
	for i, d := range r.Decisions {
		counts[d.Action]++
		if d.Position != position {
			t.Fatalf("decision %d is at position %d, want %d", i, d.Position, position)
		}
		if d.Action != wire.Reject {
			position++
		}
	}
	want := wire.Stats{
		Digest: r.Proxy.Digest, Features: r.Proxy.Features, Duration: r.Proxy.Duration,
		Proposed: len(r.Decisions), Accepted: counts[wire.Accept], Rejected: counts[wire.Reject], Forced: counts[wire.Forced],
	}
	want.Forwards = want.Tokens()
	if want.Features == "lookahead" {
		want.Forwards += want.Rejected
	}
	if d := cmp.Diff(want, *r.Proxy); d != "" {
		t.Errorf("counts: from the trace −, said +\n%s", d)
	}
	if want.Tokens() != r.EvalCount {
		t.Errorf("%d tokens decided, eval_count %d", want.Tokens(), r.EvalCount)
	}
}

// The OpenAI-compatible endpoints, and Anthropic's, give a model with a proxy the proxy's pool unless the client sets another,
// and a model without one stock's.
func TestOpenAIEndpoints(t *testing.T) {
	const name, question = "openai", "Say something."
	type object = map[string]any
	messages := []map[string]string{{"role": "user", "content": question}}
	// text asks an endpoint and returns what it says and, for a refusal, the status.
	text := func(t *testing.T, s *server, path string, request object) string {
		t.Helper()
		status, body := s.call(t, path, request)
		var r struct {
			Choices []struct {
				Text    string
				Message struct{ Content string }
			}
			Output  []struct{ Content []struct{ Text string } }
			Content []struct{ Text string }
		}
		if err := json.Unmarshal(body, &r); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, body)
		}
		var out strings.Builder
		for _, c := range r.Choices {
			out.WriteString(c.Text + c.Message.Content)
		}
		for _, o := range r.Output {
			for _, c := range o.Content {
				out.WriteString(c.Text)
			}
		}
		for _, c := range r.Content {
			out.WriteString(c.Text)
		}
		return out.String()
	}
	endpoints := map[string]object{
		"/v1/chat/completions": {"messages": messages, "max_tokens": 12},
		"/v1/completions":      {"prompt": question, "max_tokens": 12},
		"/v1/responses":        {"input": question, "max_output_tokens": 12},
		"/v1/messages":         {"messages": messages, "max_tokens": 12},
	}
	t.Run("with a proxy", func(t *testing.T) {
		s := patched(t)
		for features, digest := range ensureRandom(t, s) {
			name := name + "-" + string(features)
			s.attach(t, name, randomName, digest, map[string]any{"proxy_pt": 1e-3})
			for path, request := range endpoints {
				var replies []string
				for _, set := range []object{{}, {"temperature": 0}, {"temperature": 1, "top_p": 1}, {"top_p": 0.1}} {
					want := routes[2].ask(t, s, name, question, with(object{"num_predict": 12}, set)).Response
					if got := text(t, s, path, with(with(request, set), object{"model": name})); got != want {
						t.Errorf("%s with %v of the client's: %q, /api/chat says %q", path, set, got, want)
					}
					replies = append(replies, want)
				}
				if replies[0] == replies[2] {
					t.Errorf("%s: the proxy's pool and the endpoint's give the same reply: this test shows little", path)
				}
			}
			var streamed strings.Builder
			for _, line := range sseData(t, s, "/v1/chat/completions", object{"model": name, "messages": messages, "max_tokens": 12, "stream": true}) {
				var r struct {
					Choices []struct{ Delta struct{ Content string } }
				}
				check(t, json.Unmarshal([]byte(line), &r))
				for _, c := range r.Choices {
					streamed.WriteString(c.Delta.Content)
				}
			}
			if want := routes[2].ask(t, s, name, question, object{"num_predict": 12}).Response; streamed.String() != want {
				t.Errorf("%s: streamed %q, want %q", name, streamed.String(), want)
			}
		}
	})
	t.Run("without", func(t *testing.T) {
		stock, ours := twins(t)
		for path, request := range endpoints {
			for _, set := range []object{{"seed": 7}, {"seed": 7, "temperature": 0.5}} {
				request := with(with(request, set), object{"model": model})
				if path == "/v1/responses" || path == "/v1/messages" {
					request["temperature"] = 0 // they have no seed
				}
				if want, got := text(t, stock, path, request), text(t, ours, path, request); got != want || want == "" {
					t.Errorf("%s with %v: stock says %q, patched %q", path, set, want, got)
				}
			}
		}
	})
}

// sseData posts a request and returns the data lines of its event stream, but for the last, which says that it is the last.
func sseData(t testing.TB, s *server, path string, request map[string]any) []string {
	t.Helper()
	status, body := s.call(t, path, request)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, status, body)
	}
	var lines []string
	for _, line := range strings.Split(string(body), "\n") {
		if data, ok := strings.CutPrefix(line, "data: "); ok && data != "[DONE]" {
			lines = append(lines, data)
		}
	}
	return lines
}

// Where no proxy can be applied, a request that asks for one is refused, and one that does not is none of our business.
func TestNoProxyHere(t *testing.T) {
	s := patched(t)
	digest := ensureRandom(t, s)[proxy.Prefix]
	s.create(t, "remote", map[string]any{"from": "somewhere", "remote_host": "http://127.0.0.1:1"})
	s.create(t, "remote-modelfile", map[string]any{"from": "somewhere", "remote_host": "http://127.0.0.1:1", "parameters": map[string]any{"proxy_pt": 0.1}})
	s.writeManifest(t, "mlx", map[string]any{"model_format": "safetensors", "capabilities": []string{"completion"}})
	s.writeManifest(t, "painter", map[string]any{"model_format": "safetensors", "capabilities": []string{"image"}})
	const disabled = "ollama cloud is disabled" // what such a model says to every request here
	for _, test := range []struct {
		name, model, path string
		options           map[string]any
		want              string
		then              string // the error without the options, if that can be tried
	}{
		{"remote", "remote", "/api/generate", map[string]any{"proxy": digest}, "on another server", disabled},
		{"remote chat", "remote", "/api/chat", map[string]any{"proxy": digest}, "on another server", disabled},
		{"remote, an option alone", "remote", "/api/chat", map[string]any{"proxy_pt": 0.5}, "on another server", disabled},
		{"remote, the Modelfile's", "remote-modelfile", "/api/chat", nil, "on another server", ""},
		{"cloud", "gpt-oss:120b-cloud", "/api/generate", map[string]any{"proxy": digest}, "on another server", disabled},
		{"cloud chat", "gpt-oss:120b-cloud", "/api/chat", map[string]any{"proxy_explore": true}, "on another server", disabled},
		{"cloud embeddings", "gpt-oss:120b-cloud", "/api/embed", map[string]any{"proxy_explore": true}, "on another server", disabled},
		{"MLX", "mlx", "/api/generate", map[string]any{"proxy": digest}, "in the MLX engine", ""},
		{"MLX chat", "mlx", "/api/chat", map[string]any{"proxy": digest}, "in the MLX engine", ""},
		{"images", "painter", "/api/generate", map[string]any{"proxy": digest}, "as an image generator", ""},
		{"embeddings", randomName, "/api/embed", map[string]any{"proxy": digest}, "this request has none", "does not support embeddings"},
		{"embeddings, the old way", randomName, "/api/embeddings", map[string]any{"proxy_pt": 0.5}, "this request has none", "does not support embeddings"},
		{"a typo comes first", "remote", "/api/generate", map[string]any{"proxy_ptt": 0.5}, `did you mean "proxy_pt"?`, disabled},
		{"a typo", randomName, "/api/chat", map[string]any{"proxy_ptt": 0.5}, `did you mean "proxy_pt"?`, ""},
		{"what the server hands on to the runner", randomName, "/api/chat", map[string]any{"proxy_request": map[string]any{"path": "/etc/passwd"}}, "there is no such option", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := map[string]any{"model": test.model, "options": test.options, "prompt": "x", "input": "x", "messages": []map[string]string{{"role": "user", "content": "x"}}}
			_, err := s.try(test.path, request)
			var status *statusError
			if !errors.As(err, &status) || status.status != http.StatusBadRequest || !strings.Contains(status.message, test.want) {
				t.Errorf("got %v, want 400 with %q", err, test.want)
			}
			for _, options := range []map[string]any{nil, {"proxy": "none"}} {
				if request["options"] = options; test.then == "" {
					continue
				}
				if _, err := s.try(test.path, request); err == nil || !strings.Contains(err.Error(), test.then) {
					t.Errorf("with %v: got %v, want %q", options, err, test.then)
				}
			}
		})
	}
}
