package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

func TestRunnerRefusesAProxyOfAnotherModel(t *testing.T) {
	tests := map[string]struct {
		features proxy.Features
		change   func(*Host)
		words    []string
	}{
		"architecture": {proxy.Prefix, func(h *Host) { h.Base.Architecture = "llama" }, []string{"architecture fake", "llama"}},
		"width":        {proxy.Prefix, func(h *Host) { h.Base.EmbeddingLength = 16 }, []string{"embedding length 8", "16"}},
		"vocabulary":   {proxy.Prefix, func(h *Host) { h.Base.VocabSize = 65 }, []string{"vocabulary size 64", "65"}},
		"no rewind":    {proxy.Lookahead, func(h *Host) { h.CanRewind = false }, []string{"a cache that can rewind", "of a fake model", "use a prefix proxy"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			host := fakeLLM{}.host()
			test.change(&host)
			digest, path := storeProxy(t, proxyModel(t, test.features, 1, nil))
			check := func(err error) {
				t.Helper()
				if err == nil {
					t.Fatal("no error")
				}
				for _, w := range append(test.words, "proxy "+digest) {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("error %q, want %q in it", err, w)
					}
				}
			}
			r, err := NewRunner(host, path)
			if r != nil {
				t.Error("a runner and an error")
			}
			check(err)

			// The same proxy, hot-loaded.
			r, err = NewRunner(host, "")
			if err != nil {
				t.Fatal(err)
			}
			g, err := r.Gate(&wire.Request{Digest: digest, Path: path}, GateOptions{})
			if g != nil {
				t.Error("a gate and an error")
			}
			check(err)
		})
	}
}

// TestRunnerWithoutRewindServesPrefix: only lookahead needs a cache that can rewind.
func TestRunnerWithoutRewindServesPrefix(t *testing.T) {
	llm := fakeLLM{seed: 1, endless: true}
	host := llm.host()
	host.CanRewind = false
	_, path := storeProxy(t, proxyModel(t, proxy.Prefix, 1, nil))
	r, err := NewRunner(host, path)
	if err != nil {
		t.Fatal(err)
	}
	mustDrive(t, gateOf(t, r, wire.Request{}, GateOptions{}), llm, 5)
}

func TestRunnerRefusesABadFile(t *testing.T) {
	_, path := storeProxy(t, proxyModel(t, proxy.Prefix, 1, nil))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1] ^= 1 // a weight's bit
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(t.TempDir(), "garbage.gguf")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, words string }{
		{path, "the stored file is damaged"},
		{garbage, garbage},
		{filepath.Join(t.TempDir(), "missing.gguf"), "missing.gguf"},
	} {
		if r, err := NewRunner(fakeLLM{}.host(), test.path); r != nil || err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: runner %v, error %v, want one with %q", test.path, r, err, test.words)
		}
	}
}

// TestRunnerWarnsOfAnotherFile: the same shape under another digest is a warning that names both.
func TestRunnerWarnsOfAnotherFile(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))

	digest, path := storeProxy(t, proxyModel(t, proxy.Prefix, 1, func(m *proxy.Model) { m.Base.Digest = "sha256:trained" }))
	host := fakeLLM{}.host()
	host.Base.Digest = "sha256:trained"
	if _, err := NewRunner(host, path); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("logged %q for the model it was trained on", &log)
	}
	host.Base.Digest = "sha256:served"
	if _, err := NewRunner(host, path); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"level=WARN", digest, "sha256:trained", "sha256:served"} {
		if !strings.Contains(log.String(), w) {
			t.Errorf("logged %q, want %q in it", &log, w)
		}
	}
}

func TestGateOfARequest(t *testing.T) {
	ownDigest, ownPath := storeProxy(t, proxyModel(t, proxy.Lookahead, 1, nil))
	digest, path := storeProxy(t, proxyModel(t, proxy.Prefix, 2, nil))
	plain := filepath.Join(t.TempDir(), "proxy.gguf") // outside a blob store: no digest
	if err := proxyModel(t, proxy.Prefix, 3, nil).WriteFile(plain); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		adapter string
		request *wire.Request
		want    *wire.Stats // nil: no gate
		err     error
	}{
		"no request":           {adapter: ownPath},
		"off":                  {adapter: ownPath, request: &wire.Request{Off: true}},
		"off, none":            {request: &wire.Request{Off: true, Digest: digest}},
		"the model's own":      {adapter: ownPath, request: &wire.Request{}, want: &wire.Stats{Digest: ownDigest, Features: "lookahead"}},
		"its own by digest":    {adapter: ownPath, request: &wire.Request{Digest: ownDigest}, want: &wire.Stats{Digest: ownDigest, Features: "lookahead"}},
		"a plain file":         {adapter: plain, request: &wire.Request{}, want: &wire.Stats{Features: "prefix"}},
		"hot-loaded":           {adapter: ownPath, request: &wire.Request{Digest: digest, Path: path}, want: &wire.Stats{Digest: digest, Features: "prefix"}},
		"hot-loaded, no own":   {request: &wire.Request{Digest: digest, Path: path}, want: &wire.Stats{Digest: digest, Features: "prefix"}},
		"none":                 {request: &wire.Request{}, err: ErrNoProxy},
		"a digest and no file": {adapter: ownPath, request: &wire.Request{Digest: digest}, err: os.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewRunner(fakeLLM{}.host(), test.adapter)
			if err != nil {
				t.Fatal(err)
			}
			g, err := r.Gate(test.request, GateOptions{})
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if (g != nil) != (test.want != nil) {
				t.Fatalf("gate %v, want one: %t", g, test.want != nil)
			}
			if g == nil {
				return
			}
			if g.Stats() != *test.want || g.Lookahead() != (test.want.Features == "lookahead") {
				t.Errorf("stats %+v, lookahead %t, want %+v", g.Stats(), g.Lookahead(), *test.want)
			}
		})
	}
}

func TestGateRefusesAnInvalidPool(t *testing.T) {
	r := runnerOf(t, fakeLLM{}, proxyModel(t, proxy.Prefix, 1, nil))
	two, minus := 2.0, -1
	for want, req := range map[string]*wire.Request{
		"proxy_pt is 2":              {PT: &two},
		"proxy_max_rejections is -1": {MaxRejections: &minus},
	} {
		if _, err := r.Gate(req, GateOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

func TestDigestOfPath(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for path, want := range map[string]string{
		"/models/blobs/sha256-" + hex:                  "sha256:" + hex,
		"sha256-" + hex:                                "sha256:" + hex,
		"/models/blobs/sha256-" + hex + ".gguf":        "",
		"/models/blobs/sha256-" + strings.ToUpper(hex): "",
		"/sha256-" + hex + "/proxy.gguf":               "",
		"proxy.gguf":                                   "",
		"":                                             "",
	} {
		if got := digestOfPath(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestVersionSuffix(t *testing.T) {
	version, hash := Version, PatchHash
	t.Cleanup(func() { Version, PatchHash = version, hash })
	Version, PatchHash = "1.2.3", ""
	if got := VersionSuffix(); got != "" {
		t.Errorf("%q for a build that was not patched, want nothing", got)
	}
	PatchHash = "abc"
	if got, want := VersionSuffix(), fmt.Sprintf(" (proxy-rlhf %s, patches %s)", Version, PatchHash); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
