//go:build patched

package integration

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Every bad proxy and option ends its own request with an error that names it, and the server answers the next one.
func TestBadInput(t *testing.T) {
	s := patched(t)
	good := newProxy(t, proxy.Prefix, 7, nil)
	pushed := func(change func([]byte) []byte) string {
		return s.push(t, change(append([]byte{}, good...)))
	}
	ok := s.push(t, good)
	damaged := func(change func(*proxy.Model)) string { return s.push(t, newProxy(t, proxy.Prefix, 8, change)) }
	nan := pushed(func(b []byte) []byte {
		copy(b[len(b)-4:], []byte{0, 0, 0xc0, 0x7f}) // the last weight of the last tensor
		return b
	})
	for _, test := range []struct {
		name    string
		options map[string]any
		status  int
		want    string
	}{
		{"unknown digest", map[string]any{"proxy": "sha256:" + strings.Repeat("ab", 32)}, http.StatusNotFound, "upload it"},
		{"no digest", map[string]any{"proxy": "helpful"}, http.StatusBadRequest, `"proxy"`},
		{"a path", map[string]any{"proxy": "../../etc/passwd"}, http.StatusBadRequest, `"proxy"`},
		{"cut short", map[string]any{"proxy": pushed(func(b []byte) []byte { return b[:len(b)/2] })}, 500, "proxy sha256:"},
		{"no GGUF", map[string]any{"proxy": s.push(t, []byte("hello"))}, 500, "proxy sha256:"},
		{"NaN", map[string]any{"proxy": nan}, 500, "proxy."},
		{"another version", map[string]any{"proxy": pushed(func(b []byte) []byte { return patchVersion(t, b, 2) })}, 500, "version"},
		{"another width", map[string]any{"proxy": s.push(t, otherModel(t, 64, "llama"))}, 500, "embedding length 64"},
		{"another architecture", map[string]any{"proxy": s.push(t, otherModel(t, 576, "qwen3"))}, 500, "architecture"},
		{"huge weights", map[string]any{"proxy": damaged(func(m *proxy.Model) {
			for i := range m.Layers[0].Weight {
				m.Layers[0].Weight[i] = math.MaxFloat32
			}
			for i := range m.Layers[1].Weight {
				m.Layers[1].Weight[i] = float32(1-2*(i%2)) * math.MaxFloat32
			}
		})}, 500, "NaN"},
		{"p_t above 1", map[string]any{"proxy": ok, "proxy_pt": 2}, http.StatusBadRequest, `option "proxy_pt": want a number from 0 to 1, got 2`},
		{"p_t a string", map[string]any{"proxy": ok, "proxy_pt": "much"}, http.StatusBadRequest, `"proxy_pt"`},
		{"cutoff below 0", map[string]any{"proxy": ok, "proxy_cutoff": -0.1}, http.StatusBadRequest, `"proxy_cutoff"`},
		{"half a rejection", map[string]any{"proxy": ok, "proxy_max_rejections": 1.5}, http.StatusBadRequest, `"proxy_max_rejections"`},
		{"explore a number", map[string]any{"proxy": ok, "proxy_explore": 1}, http.StatusBadRequest, `"proxy_explore"`},
		{"unknown trace", map[string]any{"proxy": ok, "proxy_trace": "all"}, http.StatusBadRequest, `"proxy_trace"`},
		{"an option without a proxy", map[string]any{"proxy_pt": 0.1}, http.StatusBadRequest, "no proxy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.options["num_predict"] = 4
			_, err := s.try("/api/generate", map[string]any{"prompt": questions[0], "options": test.options})
			var status *statusError
			if !errors.As(err, &status) || status.status != test.status || !strings.Contains(status.message, test.want) {
				t.Errorf("got %v, want %d with %q", err, test.status, test.want)
			}
			if r := s.generate(t, map[string]any{"prompt": questions[0], "options": map[string]any{"proxy": ok, "num_predict": 2}}); r.Proxy == nil {
				t.Errorf("the next request had no proxy")
			}
		})
	}
}

// A server that was not started for rollouts gives no features.
func TestFeaturesNeedRollout(t *testing.T) {
	s := usersServer(t)
	digest := s.push(t, newProxy(t, proxy.Prefix, 9, nil))
	_, err := s.try("/api/generate", map[string]any{"prompt": questions[0], "options": map[string]any{"proxy": digest, "proxy_trace": "features"}})
	var status *statusError
	if !errors.As(err, &status) || status.status != http.StatusBadRequest || !strings.Contains(status.message, "OLLAMA_PROXY_ROLLOUT=1") {
		t.Errorf("got %v", err)
	}
}
