//go:build patched

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

var bothFeatures = []proxy.Features{proxy.Prefix, proxy.Lookahead}

// explored is a request that explores with a trace.
func explored(digest, prompt string, seed int) map[string]any {
	return map[string]any{"prompt": prompt, "options": map[string]any{
		"proxy": digest, "proxy_explore": true, "proxy_trace": wire.TraceFeatures, "seed": seed, "num_predict": 24,
	}}
}

// With every candidate accepted at temperature 0, and with everything forced, lookahead gives stock's text and log-probabilities.
func TestLookaheadEqualsStock(t *testing.T) {
	base, s := twins(t, "OLLAMA_NEW_ENGINE=1")
	digest := s.push(t, newProxy(t, proxy.Lookahead, 1, nil))
	for i, q := range questions[:8] {
		for name, options := range map[string]map[string]any{
			"temperature 0":          {"temperature": 0},
			"cutoff 0 accepts all":   {"proxy_cutoff": 0},
			"p_t 1 forces all":       {"proxy_pt": 1},
			"all accepted, explored": {"temperature": 0, "proxy_explore": true, "seed": i},
		} {
			options["proxy"], options["num_predict"] = digest, 24
			// Asked each time anew: of a prompt that is in the cache the last token is computed alone.
			want := base.generate(t, map[string]any{"prompt": q, "logprobs": true, "options": map[string]any{"temperature": 0, "num_predict": 24}})
			got := s.generate(t, map[string]any{"prompt": q, "logprobs": true, "options": options})
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(reply{}, "EvalDuration", "Proxy")); d != "" {
				t.Errorf("%s, %q: stock −, lookahead +\n%s", name, q, d)
			}
			if p := got.Proxy; p == nil || p.Forwards != p.Proposed || p.Tokens() != got.EvalCount || p.Rejected != 0 {
				t.Errorf("%s, %q: counts %+v for %d tokens", name, q, got.Proxy, got.EvalCount)
			}
		}
	}
}

// What the counts say is what the trace shows, in every mode.
func TestCountsAndTrace(t *testing.T) {
	s := patched(t)
	for _, features := range bothFeatures {
		digest := s.push(t, newProxy(t, features, 2, nil))
		for i, q := range questions[:6] {
			r := s.generate(t, explored(digest, q, i))
			checkTrace(t, modelShape, features, r)
		}
	}
}

func checkTrace(t *testing.T, shape proxy.Base, features proxy.Features, r reply) {
	t.Helper()
	checkCounts(t, r)
	if r.Proxy.Features != string(features) {
		t.Errorf("features %q, want %q", r.Proxy.Features, features)
	}
	width := shape.EmbeddingLength
	if features == proxy.Prefix {
		width *= 2
	}
	for i, d := range r.Decisions {
		asked := d.Action != wire.Forced
		if asked != (d.Accept != nil) || asked != (len(d.Features) > 0) {
			t.Errorf("decision %d (%s): accept %v, %d bytes of features", i, d.Action, d.Accept, len(d.Features))
		}
		if asked && len(d.Features) != 2*width {
			t.Errorf("decision %d: %d bytes of features, want %d", i, len(d.Features), 2*width)
		}
	}
	if r.Proxy.Rejected == 0 && r.Proxy.Accepted == 0 {
		t.Errorf("the proxy was never asked: this test shows nothing")
	}
}

// withoutTimes drops what differs between two runs of the same request.
var withoutTimes = cmp.Options{cmpopts.IgnoreFields(reply{}, "EvalDuration"), cmpopts.IgnoreFields(wire.Stats{}, "Duration")}

// The same seed gives the same decisions, to the last bit of every number.
func TestSameSeed(t *testing.T) {
	s := patched(t)
	for _, features := range bothFeatures {
		digest := s.push(t, newProxy(t, features, 3, nil))
		for i, q := range questions[:4] {
			first := s.generate(t, explored(digest, q, i))
			if d := cmp.Diff(first, s.generate(t, explored(digest, q, i)), withoutTimes); d != "" {
				t.Errorf("%s, %q: first −, again +\n%s", features, q, d)
			}
			if other := s.generate(t, explored(digest, q, i+100)); len(actions(first)) > 1 && cmp.Equal(actions(first), actions(other)) {
				t.Errorf("%s, %q: another seed decides the same", features, q)
			}
		}
	}
}

// Requests at once, with proxies of both kinds and with none in one batch, give each what it gives alone. The model is a
// random one in float32: see [randomModel].
func TestAloneAndTogether(t *testing.T) {
	const name = "random"
	s := patched(t)
	data, ours := randomModel(t, "llama", 1)
	s.create(t, name, map[string]any{"files": map[string]string{"model.gguf": s.push(t, data)}})
	digests := map[proxy.Features]string{}
	for _, f := range bothFeatures {
		digests[f] = s.push(t, newProxyFor(t, ours, f, 3, nil))
	}
	var requests []func() map[string]any
	for i, q := range questions[:8] {
		requests = append(requests, func() map[string]any {
			request := explored("", q, i)
			request["model"] = name
			options := request["options"].(map[string]any)
			switch i % 3 {
			case 0, 1:
				options["proxy"], options["proxy_pt"], options["proxy_max_rejections"] = digests[bothFeatures[i%3]], 1e-4, 6
			case 2:
				request["options"] = map[string]any{"seed": i, "num_predict": 24}
			}
			return request
		})
	}
	alone := make([]reply, len(requests))
	for i, request := range requests {
		alone[i] = s.generate(t, request())
	}
	together := make([]reply, len(requests))
	errs := make([]error, len(requests))
	var wg sync.WaitGroup
	for i, request := range requests {
		wg.Add(1)
		go func() {
			defer wg.Done()
			together[i], errs[i] = s.try("/api/generate", request())
		}()
	}
	wg.Wait()
	asked := 0
	for i := range requests {
		check(t, errs[i])
		if d := cmp.Diff(actions(alone[i]), actions(together[i])); d != "" {
			t.Errorf("request %d, alone −, together +\n%s", i, d)
		}
		if p := alone[i].Proxy; p != nil {
			asked += p.Accepted + p.Rejected
		}
	}
	if asked < 100 {
		t.Errorf("the proxies were asked %d times: this test shows little", asked)
	}
}

// actions is a reply with its decisions, without the numbers that a batch of another size rounds differently.
func actions(r reply) []string {
	out := []string{r.Response}
	for _, d := range r.Decisions {
		out = append(out, fmt.Sprintf("%d %d %s", d.Position, d.Token, d.Action))
	}
	return out
}

// A streamed reply and one that is not say the same, and so do generate and chat.
func TestStreamedAndNot(t *testing.T) {
	s := patched(t)
	for _, features := range bothFeatures {
		digest := s.push(t, newProxy(t, features, 4, nil))
		whole := s.generate(t, explored(digest, questions[0], 7))
		joined := join(s.stream(t, "/api/generate", explored(digest, questions[0], 7)))
		if d := cmp.Diff(whole, joined, withoutTimes); d != "" {
			t.Errorf("%s: whole −, streamed +\n%s", features, d)
		}
		request := explored(digest, "", 7)
		delete(request, "prompt")
		request["messages"] = []map[string]string{{"role": "user", "content": questions[0]}}
		chat, err := s.try("/api/chat", request)
		check(t, err)
		if d := cmp.Diff(whole, join([]reply{chat}), withoutTimes); d != "" {
			t.Errorf("%s: generate −, chat +\n%s", features, d)
		}
	}
}

// A proxy attached in a Modelfile decides in a server that knows nothing of engines or rollouts, can be switched off for a
// request, and its pool holds where nobody sets another.
func TestAdapter(t *testing.T) {
	s := usersServer(t)
	for _, features := range bothFeatures {
		name := "with-" + string(features)
		digest := s.push(t, newProxy(t, features, 5, nil))
		s.create(t, name, map[string]any{"from": model, "adapters": map[string]string{"proxy.gguf": digest}, "parameters": map[string]any{"proxy_max_rejections": 2}})
		on := s.generate(t, map[string]any{"model": name, "prompt": questions[2], "options": map[string]any{"num_predict": 16, "proxy_trace": "decisions"}})
		if on.Proxy == nil || on.Proxy.Digest != digest || on.Proxy.Rejected == 0 {
			t.Fatalf("%s: the adapter did not decide: %+v", name, on.Proxy)
		}
		again := s.generate(t, map[string]any{"model": name, "prompt": questions[2], "options": map[string]any{"num_predict": 16, "temperature": 0.8, "top_p": 0.9, "top_k": 0, "proxy_pt": 0.01}})
		if on.Response != again.Response {
			t.Errorf("%s: the file's pool gives %q, the same pool by options %q", name, on.Response, again.Response)
		}
		for i, d := range on.Decisions {
			if d.Rank > 2 {
				t.Errorf("%s: decision %d has rank %d beyond the Modelfile's proxy_max_rejections 2", name, i, d.Rank)
			}
		}
		greedy := map[string]any{"num_predict": 16, "temperature": 0}
		forced := s.generate(t, map[string]any{"model": name, "prompt": questions[2], "options": greedy})
		greedy["proxy"] = "none"
		off := s.generate(t, map[string]any{"model": name, "prompt": questions[2], "options": greedy})
		if off.Proxy != nil || off.Response != forced.Response || off.Response == on.Response {
			t.Errorf("%s: proxy none gives %q with %+v, temperature 0 %q, the proxy %q", name, off.Response, off.Proxy, forced.Response, on.Response)
		}
	}
}

// The command line: a Modelfile with ADAPTER and PARAMETER, and the counts that run --verbose prints.
func TestCommandLine(t *testing.T) {
	s := usersServer(t)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "proxy.gguf"), newProxy(t, proxy.Prefix, 15, nil), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "Modelfile"), []byte("FROM "+model+"\nADAPTER ./proxy.gguf\nPARAMETER proxy_max_rejections 3\n"), 0o644))
	ollama := func(args ...string) string {
		cmd := exec.Command(root("bin", "ollama"), args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "OLLAMA_HOST="+s.host, "HOME="+servers.dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("ollama %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	ollama("create", "by-hand", "-f", "Modelfile")
	out := ollama("run", "--verbose", "by-hand", "Say hello in five words.")
	if !strings.Contains(out, "proxy decisions:") || !strings.Contains(out, "prefix") {
		t.Errorf("run --verbose does not count:\n%s", out)
	}
	if version := ollama("--version"); !strings.Contains(version, "0.24.0") || !strings.Contains(version, "proxy-rlhf") {
		t.Errorf("--version says %q", version)
	}
}

// stop, num_predict and a grammar do what they do without a proxy.
func TestWithOtherOptions(t *testing.T) {
	s := patched(t)
	for _, features := range bothFeatures {
		digest := s.push(t, newProxy(t, features, 6, nil))
		long := s.generate(t, explored(digest, questions[3], 3))
		stop := long.Response[len(long.Response)/2 : len(long.Response)/2+4]
		request := explored(digest, questions[3], 3)
		request["options"].(map[string]any)["stop"] = []string{stop}
		stopped := s.generate(t, request)
		if want := long.Response[:firstIndex(long.Response, stop)]; stopped.Response != want || stopped.DoneReason != "stop" {
			t.Errorf("%s: stopped at %q: %q (%s), want %q", features, stop, stopped.Response, stopped.DoneReason, want)
		}
		// A second turn over the first one's cache shows that what the cache is said to hold is what it holds.
		if again := s.generate(t, explored(digest, questions[3], 3)); again.Response != long.Response {
			t.Errorf("%s: after a stop the same request gives %q, before %q", features, again.Response, long.Response)
		}
		request = explored(digest, "Name a city and its country.", 3)
		request["format"] = map[string]any{
			"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string", "maxLength": 8}}, "required": []string{"city"},
		}
		request["options"].(map[string]any)["num_predict"] = 60
		formatted := s.generate(t, request)
		if !validCity(formatted.Response) {
			t.Errorf("%s: format gave %q", features, formatted.Response)
		}
	}
}
