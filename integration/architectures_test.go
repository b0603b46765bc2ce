//go:build patched

package integration

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// longest is how many alternatives of a token Ollama's top_logprobs gives at most.
const longest = 20

// Every architecture decodes with a proxy what the stock build decodes, to the last bit of the logits: lookahead that accepts
// all, and both kinds with rejections in between, given the same tokens. Replies are longer than the window where attention
// slides, and prompts too.
func TestArchitectures(t *testing.T) {
	stock, ours := twins(t, "OLLAMA_NEW_ENGINE=1", wire.RolloutVariable+"=1")
	for _, architecture := range causalArchitectures {
		t.Run(architecture, func(t *testing.T) {
			data, shape := randomModel(t, architecture, 1)
			name := "tiny-" + architecture
			ours.create(t, name, map[string]any{"files": map[string]string{"model.gguf": ours.push(t, data)}})
			lookahead := ours.push(t, newProxyFor(t, shape, proxy.Lookahead, 1, nil))
			t.Run("accept all", func(t *testing.T) { acceptsAll(t, stock, ours, name, lookahead) })
			for _, features := range bothFeatures {
				digest := ours.push(t, newProxyFor(t, shape, features, 2, undecided))
				t.Run(string(features)+" rejecting", func(t *testing.T) { rejecting(t, stock, ours, name, shape, features, digest) })
			}
		})
	}
}

// acceptsAll compares replies in which the proxy takes every first candidate with stock's greedy ones.
func acceptsAll(t *testing.T, stock, ours *server, name, lookahead string) {
	t.Helper()
	for i, q := range questions[:3] {
		request := func(options map[string]any) map[string]any {
			options["num_predict"] = 3 * randomWindow
			return map[string]any{"model": name, "prompt": q, "logprobs": true, "top_logprobs": longest, "options": options}
		}
		for _, options := range []map[string]any{
			{"temperature": 0},
			{"temperature": 1, "top_p": 1, "proxy_cutoff": 0},
			{"temperature": 0, "proxy_explore": true, "seed": i},
		} {
			// Asked each time anew: of a prompt that is in the cache the last token is computed alone.
			want := stock.generate(t, request(map[string]any{"temperature": 0}))
			options["proxy"] = lookahead
			got := ours.generate(t, request(options))
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(reply{}, "EvalDuration", "Proxy")); d != "" {
				t.Errorf("%v, %q: stock −, lookahead +\n%s", options, q, d)
			}
			if p := got.Proxy; p == nil || p.Rejected != 0 || p.Forwards != got.EvalCount || p.Tokens() != got.EvalCount {
				t.Errorf("%v, %q: counts %+v for %d tokens", options, q, p, got.EvalCount)
			}
			if len(want.LogProbs) < 2*randomWindow {
				t.Errorf("%q: a reply of %d tokens: this test shows little", q, len(want.LogProbs))
			}
		}
	}
}

// rejecting compares the logits that every token of a reply with rejections was chosen from, by the largest of them, with
// stock's after the same tokens. Stock is asked for one token after the prompt, the prompt and a token, and so on: it finds
// all but the last in its cache, so its passes are the same as those of a reply in one go.
func rejecting(t *testing.T, stock, ours *server, name string, shape proxy.Base, features proxy.Features, digest string) {
	t.Helper()
	text := strings.Repeat("The quick brown fox jumps. ", 2) // longer than a window
	request := explored(digest, text, 7)
	request["model"], request["raw"], request["logprobs"], request["top_logprobs"] = name, true, true, longest
	options := request["options"].(map[string]any)
	options["num_predict"], options["top_p"], options["proxy_pt"], options["proxy_max_rejections"] = 3*randomWindow, 1, 1e-6, 4
	r := ours.generate(t, request)
	checkTrace(t, shape, features, r)
	if r.Proxy.Rejected < 10 || len(r.LogProbs) < 2*randomWindow {
		t.Fatalf("%d rejections in %d tokens: this test shows little", r.Proxy.Rejected, len(r.LogProbs))
	}
	at := 0
	for _, d := range r.Decisions {
		if d.Action == wire.Reject {
			continue
		}
		if at == len(r.LogProbs) {
			break // the end-of-sequence token has no log-probabilities
		}
		want := stock.generate(t, map[string]any{
			"model": name, "prompt": text, "raw": true, "logprobs": true, "top_logprobs": longest,
			"options": map[string]any{"num_predict": 1, "temperature": 0},
		})
		got := r.LogProbs[at]
		if diff := cmp.Diff(want.LogProbs[0].Top, got.Top); diff != "" {
			t.Fatalf("token %d after %q: stock −, ours +\n%s", at, text, diff)
		}
		i := slices.IndexFunc(got.Top, func(top logProb) bool { return top.Token == d.Text })
		if got.Token != d.Text || i >= 0 && got.Top[i].LogProb != got.LogProb {
			t.Fatalf("token %d: %q was decided, %q with %g is reported, %+v among the largest", at, d.Text, got.Token, got.LogProb, got.Top)
		}
		text += d.Text
		at++
	}
}

// A model with a recurrent state cannot take a token back: a lookahead proxy is refused, attached when the model loads, named
// by a request for that request. A prefix proxy decides as anywhere (see TestReplay for what it decides).
func TestHybrid(t *testing.T) {
	s := patched(t)
	data, shape := randomModel(t, hybridArchitecture, 1)
	const name, refusal = "tiny-hybrid", "lookahead proxy needs a cache that can rewind"
	file := s.push(t, data)
	s.create(t, name, map[string]any{"files": map[string]string{"model.gguf": file}})
	refused := func(request map[string]any) {
		t.Helper()
		r, err := s.try("/api/generate", request)
		var status *statusError
		if !errors.As(err, &status) || status.status != http.StatusInternalServerError || !strings.Contains(status.message, refusal) {
			t.Errorf("%v: got %v and %q, want %q", request, err, r.Response, refusal)
		}
	}
	lookahead, prefix := s.push(t, newProxyFor(t, shape, proxy.Lookahead, 1, nil)), s.push(t, newProxyFor(t, shape, proxy.Prefix, 1, nil))
	decides := func(request map[string]any) {
		t.Helper()
		options := request["options"].(map[string]any)
		options["top_p"], options["proxy_pt"] = 1, 0.001
		r := s.generate(t, request)
		checkTrace(t, shape, proxy.Prefix, r)
		if r.Proxy.Rejected == 0 {
			t.Error("nothing was rejected: this test shows little")
		}
	}
	for digest, check := range map[string]func(map[string]any){lookahead: refused, prefix: decides} {
		request := explored(digest, questions[0], 1)
		request["model"] = name
		check(request)
		attached := name + "-" + digest[7:15]
		s.create(t, attached, map[string]any{"from": name, "adapters": map[string]string{"proxy.gguf": digest}})
		request = explored("", questions[0], 1)
		request["model"] = attached
		check(request)
	}
}
