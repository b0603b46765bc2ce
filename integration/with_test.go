//go:build patched

package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// wholePool leaves every token of the vocabulary in the pool, so that only a grammar can take one out.
var wholePool = map[string]any{"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}

// Where a grammar leaves one token, that token is forced; where it leaves more, the proxy decides among them.
func TestGrammarForces(t *testing.T) {
	s := patched(t)
	for features, digest := range ensureRandom(t, s) {
		for name, format := range map[string]any{
			"schema": map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"enum": []string{"Rome", "Oslo"}}}, "required": []string{"city"}},
			"json":   "json",
		} {
			options := with(wholePool, map[string]any{"proxy": digest, "proxy_trace": "decisions", "proxy_pt": 0, "proxy_max_rejections": 4, "num_predict": 60})
			r := join(s.stream(t, "/api/generate", map[string]any{"model": randomName, "prompt": "A city:", "format": format, "options": options}))
			checkDecisions(t, r)
			var alone, several int
			for _, d := range r.Decisions {
				switch {
				case d.Pool == 1:
					alone++
					if d.Action != wire.Forced || d.Accept != nil || d.Prob != 1 {
						t.Errorf("%s, %s: the only token of its pool is %+v", features, name, d)
					}
				case d.Action != wire.Forced:
					several++
				}
			}
			if name == "schema" && (alone == 0 || !json.Valid([]byte(r.Response)) || !strings.Contains(r.Response, "city")) {
				t.Errorf("%s: %d positions with one token, %q", features, alone, r.Response)
			}
			if several == 0 || !strings.HasPrefix(strings.TrimSpace(r.Response), "{") {
				t.Errorf("%s, %s: the proxy decided %d times, %q", features, name, several, r.Response)
			}
		}
	}
}

// Log-probabilities are those of the logits that a token was chosen from, of exactly the tokens that were: with the whole
// vocabulary as the pool, they are what the trace says.
func TestLogProbsWithAProxy(t *testing.T) {
	s := patched(t)
	for features, digest := range ensureRandom(t, s) {
		for _, stream := range []bool{false, true} {
			request := map[string]any{"model": randomName, "prompt": questions[1], "logprobs": true, "top_logprobs": 3, "options": with(wholePool, map[string]any{
				"proxy": digest, "proxy_trace": "decisions", "proxy_pt": 0, "proxy_max_rejections": 5, "num_predict": 8,
			})}
			var r reply
			if stream {
				r = join(s.stream(t, "/api/generate", request))
			} else {
				r = s.generate(t, request)
			}
			checkDecisions(t, r)
			var chosen []wire.Decision
			for _, d := range r.Decisions {
				if d.Action != wire.Reject {
					chosen = append(chosen, d)
				}
			}
			if len(r.LogProbs) != len(chosen) {
				t.Fatalf("%s, stream %t: %d log-probabilities for %d tokens", features, stream, len(r.LogProbs), len(chosen))
			}
			for i, d := range chosen {
				l := r.LogProbs[i]
				if l.Token != d.Text || math.Abs(math.Exp(l.LogProb)-d.Prob) > 1e-4*d.Prob+1e-7 {
					t.Errorf("%s, token %d: %q with %g, the trace says %q with %g", features, i, l.Token, math.Exp(l.LogProb), d.Text, d.Prob)
				}
				if len(l.Top) != 3 || d.Rank < 3 && l.Top[d.Rank].LogProb != l.LogProb {
					t.Errorf("%s, token %d at rank %d with %g: the top is %+v", features, i, d.Rank, l.LogProb, l.Top)
				}
			}
		}
	}
}

// raw, suffix, a template and a system prompt change the prompt and nothing else: what is rendered, sent raw, gets the same
// reply. keep_alive ends the runner, and the next one loads the proxy again.
func TestPromptsAndKeepAlive(t *testing.T) {
	s := patched(t)
	for features, digest := range ensureRandom(t, s) {
		name := "prompts-" + string(features)
		s.create(t, name, map[string]any{
			"from": randomName, "adapters": map[string]string{"proxy.gguf": digest},
			"template":   "{{ if .Suffix }}P:{{ .Prompt }} S:{{ .Suffix }} M:{{ else }}{{ .System }} {{ .Prompt }}{{ end }}",
			"parameters": map[string]any{"num_predict": 6, "proxy_trace": "decisions", "proxy_pt": 1e-4},
		})
		for request, rendered := range map[*map[string]any]string{
			{"prompt": "begin", "suffix": "end"}:                            "P:begin S:end M:",
			{"prompt": "begin", "system": "Be brief."}:                      "Be brief. begin",
			{"prompt": "begin", "template": "<{{ .Prompt }}>"}:              "<begin>",
			{"prompt": "begin", "keep_alive": "0s"}:                         " begin",
			{"prompt": "P:begin S:end M:", "raw": true, "keep_alive": "1h"}: "P:begin S:end M:",
		} {
			(*request)["model"] = name
			r := s.generate(t, *request)
			want := s.generate(t, map[string]any{"model": name, "prompt": rendered, "raw": true})
			checkCounts(t, r)
			if d := cmp.Diff(actions(want), actions(r)); d != "" {
				t.Errorf("%s, %v: raw −, this +\n%s", features, *request, d)
			}
		}
	}
}

// A small model's template with everything that makes Ollama find thinking and tools in it. What a reply has of either, the
// model copies from the conversation before it.
const conversation = `{{- if .Tools }}Tools: {{ range .Tools }}{{ .Function.Name }} {{ end }}
{{ end }}{{ range .Messages }}{{ if eq .Role "user" }}Q: {{ .Content }}
A:{{ else if eq .Role "assistant" }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ if .ToolCalls }}<tool_call>{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}{{ end }}</tool_call>{{ end }}{{ .Content }}
{{ end }}{{ end }}`

// turns is n turns of the same question and answer, and the question again.
func turns(n int, question string, answer map[string]any) []map[string]any {
	answer["role"] = "assistant"
	var messages []map[string]any
	for range n {
		messages = append(messages, map[string]any{"role": "user", "content": question}, answer)
	}
	return append(messages, map[string]any{"role": "user", "content": question})
}

// Thinking and tool calls come out of a proxied reply as out of any other, and no decision gets lost while a parser holds text
// back. A format after the thinking works too, without a trace.
func TestThinkingAndTools(t *testing.T) {
	s := patched(t)
	for _, features := range bothFeatures {
		name := "thinks-" + string(features)
		s.create(t, name, map[string]any{
			"from": model, "adapters": map[string]string{"proxy.gguf": s.push(t, newProxy(t, features, 41, nil))}, "template": conversation,
			// Every candidate that the proxy is asked about is accepted: the model must copy.
			"parameters": map[string]any{"proxy_cutoff": 0, "stop": []string{"\n"}, "num_predict": 60},
		})
		traced := map[string]any{"proxy_trace": "decisions"}
		thinks := turns(3, "Hello", map[string]any{"thinking": "The user greets me.", "content": "Hello, my friend!"})
		for _, stream := range []bool{false, true} {
			ask := func(request map[string]any) reply {
				t.Helper()
				request["model"] = name
				if stream {
					return join(s.stream(t, "/api/chat", request))
				}
				r, err := s.try("/api/chat", request)
				check(t, err)
				return join([]reply{r})
			}
			r := ask(map[string]any{"messages": thinks, "options": traced})
			checkCounts(t, r)
			if r.Message.Thinking != "The user greets me." || r.Response != "Hello, my friend!" || r.Proxy == nil || r.Proxy.Tokens() != r.EvalCount {
				t.Errorf("%s, stream %t: thought %q, said %q (%+v)", features, stream, r.Message.Thinking, r.Response, r.Proxy)
			}
			r = ask(map[string]any{"messages": thinks, "think": false, "options": traced})
			checkCounts(t, r)
			if r.Message.Thinking != "" || r.Response != "<think>The user greets me.</think>Hello, my friend!" {
				t.Errorf("%s, stream %t: thought %q, said %q", features, stream, r.Message.Thinking, r.Response)
			}

			city := map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"enum": []string{"Rome"}}}, "required": []string{"city"}}
			// JSON may have line ends in it.
			r = ask(map[string]any{"messages": thinks, "format": city, "options": map[string]any{"stop": []string{"\n\n\n"}}})
			if r.Message.Thinking != "The user greets me." || !validCity(r.Response) || r.Proxy.Tokens() != r.EvalCount {
				t.Errorf("%s, stream %t: thought %q, said %q (%+v of %d tokens)", features, stream, r.Message.Thinking, r.Response, r.Proxy, r.EvalCount)
			}
			r = ask(map[string]any{"messages": thinks, "format": city, "think": false, "options": map[string]any{"proxy_trace": "decisions", "stop": []string{"\n\n\n"}}})
			checkCounts(t, r)
			if !validCity(r.Response) {
				t.Errorf("%s, stream %t: said %q", features, stream, r.Response)
			}

			r = ask(map[string]any{
				"messages": turns(3, "Weather in Rome?", map[string]any{"tool_calls": []any{map[string]any{"function": map[string]any{"name": "get_weather", "arguments": map[string]any{"city": "Rome"}}}}}),
				"tools": []any{map[string]any{"type": "function", "function": map[string]any{
					"name": "get_weather", "description": "The weather", "parameters": map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}},
				}}},
				"think": false, "options": traced,
			})
			checkCounts(t, r)
			if calls := r.Message.ToolCalls; len(calls) != 1 || calls[0].Function.Name != "get_weather" || calls[0].Function.Arguments["city"] != "Rome" {
				t.Errorf("%s, stream %t: called %+v, said %q", features, stream, calls, r.Response)
			}
		}
		_, err := s.try("/api/chat", map[string]any{"model": name, "messages": thinks, "format": "json", "options": traced})
		var status *statusError
		if !errors.As(err, &status) || status.status != http.StatusBadRequest || !strings.Contains(status.message, `"proxy_trace"`) {
			t.Errorf("%s: two passes with a trace: %v, want 400", features, err)
		}
	}
}

// A vision model's image is part of the prompt: with every candidate accepted the reply is the model's own, and another image
// is another prompt.
func TestImages(t *testing.T) {
	s := patched(t)
	const name = "sees"
	s.create(t, name, map[string]any{"files": map[string]string{"model.gguf": s.push(t, visionModel(t))}})
	shape := randomShape
	shape.Architecture = "mistral3"
	ask := func(picture []byte, options map[string]any) reply {
		t.Helper()
		request := map[string]any{"model": name, "prompt": "What is this?", "options": with(map[string]any{"num_predict": 10}, options)}
		if picture != nil {
			request["images"] = []string{base64.StdEncoding.EncodeToString(picture)}
		}
		return join(s.stream(t, "/api/generate", request))
	}
	red, blue := picture(t, color.RGBA{255, 0, 0, 255}), picture(t, color.RGBA{0, 0, 255, 255})
	plain := ask(red, map[string]any{"temperature": 0})
	if plain.Response == ask(blue, map[string]any{"temperature": 0}).Response || plain.Response == ask(nil, map[string]any{"temperature": 0}).Response {
		t.Fatalf("the model sees no difference: %q", plain.Response)
	}
	for _, features := range bothFeatures {
		options := map[string]any{"proxy": s.push(t, newProxyFor(t, shape, features, 3, nil)), "proxy_trace": "decisions", "proxy_pt": 1e-4}
		if r := ask(red, with(options, map[string]any{"proxy_cutoff": 0})); r.Response != plain.Response || r.Proxy.Accepted == 0 {
			t.Errorf("%s: everything accepted %q (%+v), without a proxy %q", features, r.Response, r.Proxy, plain.Response)
		}
		first := ask(red, options)
		checkDecisions(t, first)
		if d := cmp.Diff(actions(first), actions(ask(red, options))); d != "" {
			t.Errorf("%s: the same image again −, +\n%s", features, d)
		}
		if other := ask(blue, options); cmp.Equal(actions(first), actions(other)) {
			t.Errorf("%s: another image gives the same decisions", features)
		}
	}
}

// picture is a small image of one colour.
func picture(t testing.TB, c color.RGBA) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 56, 56))
	for i := range 56 * 56 {
		img.SetRGBA(i%56, i/56, c)
	}
	var out bytes.Buffer
	check(t, png.Encode(&out, img))
	return out.Bytes()
}
