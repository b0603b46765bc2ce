package plugin

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ollama/ollama/fs/ggml"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// ggufFile writes a GGUF file with these keys and no tensors.
func ggufFile(t *testing.T, kv ggml.KV) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "adapter.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := ggml.WriteGGUF(f, kv, nil); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func TestFindProxy(t *testing.T) {
	_, own := storeProxy(t, proxyModel(t, proxy.Prefix, 1, nil))
	_, second := storeProxy(t, proxyModel(t, proxy.Prefix, 2, nil))
	lora := ggufFile(t, ggml.KV{"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"})
	untyped := ggufFile(t, ggml.KV{"general.architecture": "llama", "general.type": "adapter"})
	underArchitecture := ggufFile(t, ggml.KV{"general.architecture": "llama", "llama.adapter.type": "proxy"})
	reward := ggufFile(t, ggml.KV{"general.architecture": "proxy_rlhf_reward"})
	// What another writer may leave out.
	onlyArchitecture := ggufFile(t, ggml.KV{"general.architecture": "proxy_rlhf"})

	content, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	file := func(content []byte) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	half := file(content[:len(content)/2])
	garbage, empty, cut := file([]byte("this is no GGUF file, whatever it is")), file(nil), file(content[:30])
	missing := filepath.Join(t.TempDir(), "missing")

	for name, test := range map[string]struct {
		adapters []string
		want     string
		err      string
	}{
		"none":                     {adapters: nil},
		"a proxy":                  {adapters: []string{own}, want: own},
		"the same again":           {adapters: []string{own}, want: own},
		"the first of two":         {adapters: []string{second, own}, want: second},
		"behind others":            {adapters: []string{lora, untyped, own}, want: own},
		"architecture says enough": {adapters: []string{onlyArchitecture}, want: onlyArchitecture},
		"damaged behind the keys":  {adapters: []string{half}, want: half},
		"a LoRA":                   {adapters: []string{lora, lora}},
		"no type":                  {adapters: []string{untyped}},
		"type in the wrong place":  {adapters: []string{underArchitecture}},
		"a reward":                 {adapters: []string{reward}},
		"garbage":                  {adapters: []string{garbage}, err: "not a GGUF file"},
		"empty":                    {adapters: []string{empty}, err: "cut short"},
		"cut short":                {adapters: []string{lora, cut}, err: "cut short"},
		"missing":                  {adapters: []string{missing}, err: "no such file"},
		"a folder":                 {adapters: []string{t.TempDir()}, err: "not a regular file"},
	} {
		got, err := FindProxy(test.adapters)
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: error %v, want %q", name, err, test.err)
		}
	}
}

// TestFindProxyRemembersNoFailure: a file that could not be read is looked at again.
func TestFindProxyRemembersNoFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "late.gguf")
	if got, err := FindProxy([]string{path}); got != "" || err == nil {
		t.Fatalf("%q, %v before there is a file", got, err)
	}
	if err := proxyModel(t, proxy.Prefix, 1, nil).WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if got, err := FindProxy([]string{path}); got != path || err != nil {
		t.Errorf("%q, %v once it is there, want %q", got, err, path)
	}
}

// TestFindProxyReadsAFileOnce: it is asked at every request.
func TestFindProxyReadsAFileOnce(t *testing.T) {
	_, path := storeProxy(t, proxyModel(t, proxy.Prefix, 1, nil))
	lora := ggufFile(t, ggml.KV{"general.architecture": "llama", "adapter.type": "lora"})
	for range 2 {
		if got, err := FindProxy([]string{lora, path}); got != path || err != nil {
			t.Fatalf("%q, %v, want %q", got, err, path)
		}
		os.Remove(lora)
		os.Remove(path)
	}
}

// TestFindProxyInHostileHeaders: lengths and types that no file can have.
func TestFindProxyInHostileHeaders(t *testing.T) {
	header := func(version uint32, rest ...uint64) []byte {
		b := binary.LittleEndian.AppendUint32([]byte("GGUF"), version)
		for _, n := range rest {
			b = binary.LittleEndian.AppendUint64(b, n)
		}
		return b
	}
	for name, content := range map[string][]byte{
		"many keys":        header(3, 0, 1<<62),
		"long key":         header(3, 0, 1, 1<<62),
		"negative key":     header(3, 0, 1, 1<<63),
		"unknown version":  header(77, 0, 0),
		"unknown kv type":  append(header(3, 0, 1, 1), 'x', 99, 0, 0, 0),
		"nothing after it": []byte("GGUF"),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hostile")
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
			if got, err := FindProxy([]string{path}); got != "" || err == nil {
				t.Errorf("%q, %v, want an error", got, err)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	digest, path := storeProxy(t, proxyModel(t, proxy.Lookahead, 1, func(m *proxy.Model) {
		m.Pool.PT, m.Cutoff = 0, 0.25 // 0 is a value
		m.Training = map[string]any{"reward": "vader", "episodes": 3}
	}))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(half, content[:len(content)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	lora := ggufFile(t, ggml.KV{"general.architecture": "llama", "adapter.type": "lora"})
	missing := filepath.Join(t.TempDir(), "missing")
	for name, test := range map[string]struct {
		adapters []string
		want     *wire.Description
	}{
		"none":    {nil, nil},
		"a LoRA":  {[]string{lora}, nil},
		"a proxy": {[]string{lora, path}, &wire.Description{Digest: digest, Features: "lookahead", Parameters: 8*16 + 16 + 16*2 + 2, PT: new(0.0), Cutoff: new(0.25), Reward: "vader"}},
		"damaged": {[]string{half}, &wire.Description{Digest: digest, Error: "cut short"}},
		"missing": {[]string{missing}, &wire.Description{Error: "no such file"}},
	} {
		got := Describe(test.adapters)
		if got != nil && test.want != nil && test.want.Error != "" && strings.Contains(got.Error, test.want.Error) {
			got.Error = test.want.Error
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s: want −, got +\n%s", name, d)
		}
	}
}
