//go:build patched

package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// nanProxy is a valid file whose weights overflow: at the first position where it is asked, it yields NaN.
func nanProxy(t testing.TB, features proxy.Features) []byte {
	return newProxyFor(t, randomShape, features, 8, func(m *proxy.Model) {
		for i := range m.Layers[0].Weight {
			m.Layers[0].Weight[i] = math.MaxFloat32
		}
		for i := range m.Layers[1].Weight {
			m.Layers[1].Weight[i] = float32(1-2*(i%2)) * math.MaxFloat32
		}
	})
}

// A model is not created with a proxy, or with options, that no request could use.
func TestCreateRefuses(t *testing.T) {
	s := patched(t)
	own := ensureRandom(t, s)[proxy.Prefix]
	good := newProxyFor(t, randomShape, proxy.Prefix, 7, nil)
	changed := func(change func(b []byte) []byte) string { return s.push(t, change(slices.Clone(good))) }
	s.attach(t, "has-one", randomName, own, nil)
	for _, test := range []struct {
		name       string
		from       string
		adapter    string
		parameters map[string]any
		want       string
	}{
		{name: "another width", adapter: s.push(t, otherModel(t, 32, "llama")), want: "embedding length 32, this one has 64"},
		{name: "another architecture", adapter: s.push(t, otherModel(t, randomWidth, "qwen3")), want: "architecture qwen3, this one has llama"},
		{name: "another version", adapter: changed(func(b []byte) []byte { return patchVersion(t, b, 9) }), want: "proxy_rlhf.version is 9"},
		{name: "cut short", adapter: changed(func(b []byte) []byte { return b[:len(b)/2] }), want: `"proxy.0.weight" offset+size`},
		{name: "cut in the header", adapter: changed(func(b []byte) []byte { return b[:200] }), want: "cut short at"},
		{name: "a weight that is NaN", adapter: changed(func(b []byte) []byte {
			copy(b[len(b)-4:], []byte{0, 0, 0xc0, 0x7f})
			return b
		}), want: "proxy.1.weight is NaN"},
		{name: "an endless key", adapter: changed(func(b []byte) []byte {
			binary.LittleEndian.PutUint64(b[bytes.Index(b, []byte("proxy_rlhf.features"))-8:], math.MaxUint64)
			return b
		}), want: "a key is 18446744073709551615 bytes long"},
		{name: "endless tensors", adapter: changed(func(b []byte) []byte {
			binary.LittleEndian.PutUint64(b[8:], math.MaxUint64)
			return b
		}), want: "18446744073709551615 tensors"},
		{name: "no GGUF", adapter: s.push(t, []byte("hello, world")), want: "not a GGUF file"},
		{name: "a second proxy", from: "has-one", adapter: own, want: "a proxy must be the only adapter"},
		{name: "p_t out of range", adapter: own, parameters: map[string]any{"proxy_pt": 2}, want: `option "proxy_pt": want a number from 0 to 1, got 2`},
		{name: "a typo", adapter: own, parameters: map[string]any{"proxy_cutof": 0.2}, want: `did you mean "proxy_cutoff"?`},
	} {
		t.Run(test.name, func(t *testing.T) {
			from := randomName
			if test.from != "" {
				from = test.from
			}
			request := map[string]any{"model": "refused", "from": from, "adapters": map[string]string{"proxy.gguf": test.adapter}, "parameters": test.parameters, "stream": false}
			status, body := s.call(t, "/api/create", request)
			var r struct{ Error string }
			check(t, json.Unmarshal(body, &r))
			if status != http.StatusBadRequest || !strings.Contains(r.Error, test.want) {
				t.Errorf("got %d %q, want 400 with %q", status, r.Error, test.want)
			}
			if status, _ := s.call(t, "/api/show", map[string]any{"model": "refused"}); status != http.StatusNotFound {
				t.Errorf("the model is there: %d", status)
			}
		})
	}

	// Ollama drops the adapters of a remote model: it has nowhere to put them.
	status, body := s.call(t, "/api/create", map[string]any{"model": "refused", "from": "far", "remote_host": "http://127.0.0.1:1", "adapters": map[string]string{"proxy.gguf": own}})
	if !strings.Contains(string(body), "runs on another server") {
		t.Errorf("a proxy for a remote model: %d %s", status, body)
	}
}

// A model whose own proxy was damaged, lost or exchanged on disk answers nothing, and answers again when the file is back.
func TestOwnProxyOnDisk(t *testing.T) {
	s := patched(t)
	ensureRandom(t, s)
	const name = "on-disk"
	good := newProxyFor(t, randomShape, proxy.Prefix, 21, nil)
	digest := s.push(t, good)
	s.attach(t, name, randomName, digest, nil)
	ask := func(path string) error {
		_, err := s.try(path, map[string]any{"model": name, "prompt": "Hello", "messages": []map[string]string{{"role": "user", "content": "Hello"}}, "options": map[string]any{"num_predict": 4}})
		return err
	}
	for _, test := range []struct {
		name   string
		damage func() error
		want   string
	}{
		{"another proxy's bytes", func() error {
			return os.WriteFile(blob(digest), newProxyFor(t, randomShape, proxy.Prefix, 22, nil), 0o644)
		}, "its digest is sha256:"},
		{"a NaN weight", func() error {
			bad := slices.Clone(good)
			copy(bad[len(bad)-4:], []byte{0, 0, 0xc0, 0x7f})
			return os.WriteFile(blob(digest), bad, 0o644)
		}, "proxy.1.weight is NaN"},
		{"cut short", func() error { return os.Truncate(blob(digest), int64(len(good)/2)) }, `"proxy.0.weight" offset+size`},
		{"empty", func() error { return os.Truncate(blob(digest), 0) }, "cut short"},
		{"gone", func() error { return os.Remove(blob(digest)) }, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			check(t, test.damage())
			for _, path := range []string{"/api/generate", "/api/chat"} {
				err := ask(path)
				status, _ := err.(*statusError)
				if status == nil || status.status != http.StatusInternalServerError || !strings.Contains(status.message, test.want) {
					t.Errorf("%s: got %v, want 500 with %q", path, err, test.want)
				}
			}
			// Other models are not touched by it.
			if r := s.generate(t, map[string]any{"model": randomName, "prompt": "Hello", "options": map[string]any{"num_predict": 2}}); r.Proxy != nil {
				t.Errorf("a model without a proxy has one: %+v", r.Proxy)
			}
		})
	}
	check(t, os.WriteFile(blob(digest), good, 0o644))
	check(t, ask("/api/chat"))
}

// A request whose proxy fails in the middle of a batch ends alone: its neighbours' replies are what they are without it.
func TestNeighboursOfAFailure(t *testing.T) {
	s := patched(t)
	digests := ensureRandom(t, s)
	bad := map[proxy.Features]string{}
	for _, f := range bothFeatures {
		bad[f] = s.push(t, nanProxy(t, f))
	}
	request := func(i int) map[string]any {
		r := explored(digests[bothFeatures[i%2]], questions[i], i)
		r["model"] = randomName
		options := r["options"].(map[string]any)
		options["num_predict"], options["proxy_pt"] = 40, 1e-4
		if i%3 == 2 {
			r["options"] = map[string]any{"seed": i, "num_predict": 40}
		}
		return r
	}
	failing := func(i int) map[string]any {
		return map[string]any{"model": randomName, "prompt": questions[i], "options": map[string]any{"proxy": bad[bothFeatures[i%2]], "num_predict": 40, "proxy_pt": 1e-4}}
	}
	const n = 6
	alone := make([]reply, n)
	for i := range n {
		alone[i] = s.generate(t, request(i))
	}
	together := make([]reply, n)
	errs, failures := make([]error, n), make([]error, 2*n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { together[i], errs[i] = s.try("/api/generate", request(i)) })
	}
	wg.Go(func() {
		for i := range failures {
			_, failures[i] = s.try("/api/generate", failing(i))
		}
	})
	wg.Wait()
	for i := range n {
		check(t, errs[i])
		if d := cmp.Diff(actions(alone[i]), actions(together[i])); d != "" {
			t.Errorf("request %d: alone −, beside failures +\n%s", i, d)
		}
	}
	for i, err := range failures {
		if err == nil || !strings.Contains(err.Error(), "yields NaN") || !strings.Contains(err.Error(), bad[bothFeatures[i%2]]) {
			t.Errorf("failure %d: %v, want one that names the proxy and NaN", i, err)
		}
	}

	// Streamed, the error is the last line, and nothing claims to be done or counts.
	for _, f := range bothFeatures {
		parts := s.stream(t, "/api/generate", map[string]any{"model": randomName, "prompt": questions[0], "options": map[string]any{"proxy": bad[f], "num_predict": 40, "proxy_pt": 1e-4}})
		last := parts[len(parts)-1]
		for i, part := range parts {
			if part.Done || part.Proxy != nil || (part.Error != "") != (i == len(parts)-1) {
				t.Errorf("%s: part %d of %d: %+v", f, i, len(parts), part)
			}
		}
		if !strings.Contains(last.Error, "yields NaN") {
			t.Errorf("%s: the last part says %+v", f, last)
		}
	}
}

// A reply that ends early, whatever ends it, is counted and traced as far as it came.
func TestEarlyEnds(t *testing.T) {
	s := patched(t)
	digests := ensureRandom(t, s)
	for _, features := range bothFeatures {
		options := map[string]any{"proxy": digests[features], "proxy_trace": "decisions", "proxy_pt": 1e-4, "num_predict": 20}
		long := routes[0].ask(t, s, randomName, questions[5], options)
		checkDecisions(t, long)
		for _, n := range []int{1, 2, 9} {
			r := routes[1].ask(t, s, randomName, questions[5], with(options, map[string]any{"num_predict": n}))
			if r.DoneReason != "length" || r.EvalCount != n || r.Proxy.Tokens() != n || !strings.HasPrefix(long.Response, r.Response) {
				t.Errorf("%s, %d tokens: %+v", features, n, r)
			}
			if d := cmp.Diff(long.Decisions[:len(r.Decisions)], r.Decisions, nearly); d != "" || len(r.Decisions) != r.Proxy.Proposed {
				t.Errorf("%s, %d tokens: the trace of 20 −, of %d + (%d proposed)\n%s", features, n, n, r.Proxy.Proposed, d)
			}
		}
		runes := []rune(long.Response)
		stop := string(runes[len(runes)/2 : len(runes)/2+2])
		r := routes[1].ask(t, s, randomName, questions[5], with(options, map[string]any{"stop": []string{stop}}))
		checkDecisions(t, r)
		if r.DoneReason != "stop" || r.Response != long.Response[:strings.Index(long.Response, stop)] {
			t.Errorf("%s, stopped at %q: %q (%s) of %q", features, stop, r.Response, r.DoneReason, long.Response)
		}
	}

	// Clients that leave in the middle give their slots back: more of them than there are slots, and then a full house.
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(200+50*i)*time.Millisecond)
			defer cancel()
			body, err := json.Marshal(map[string]any{"model": randomName, "prompt": questions[i], "options": map[string]any{"proxy": digests[bothFeatures[i%2]], "num_predict": 900, "proxy_trace": "decisions"}})
			if err != nil {
				panic(err)
			}
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/api/generate", bytes.NewReader(body))
			if err != nil {
				panic(err)
			}
			if resp, err := http.DefaultClient.Do(request); err == nil {
				_, _ = bytes.NewBuffer(nil).ReadFrom(resp.Body)
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	replies, errs := make([]reply, 8), make([]error, 8)
	for i := range replies {
		wg.Go(func() {
			replies[i], errs[i] = s.try("/api/generate", map[string]any{"model": randomName, "prompt": questions[i], "options": map[string]any{"proxy": digests[bothFeatures[i%2]], "num_predict": 12, "proxy_trace": "decisions", "proxy_pt": 1e-4}})
		})
	}
	wg.Wait()
	for i, r := range replies {
		check(t, errs[i])
		checkDecisions(t, r)
	}
}
