package plugin

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/ollama/ollama/fs/ggml"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
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
	garbage, empty, cut := file([]byte("this is no GGUF file, whatever it is")), file(nil), file(content[:100])
	missing := filepath.Join(t.TempDir(), "missing")

	for name, test := range map[string]struct {
		adapters []string
		want     string
	}{
		"none":                     {nil, ""},
		"a proxy":                  {[]string{own}, own},
		"the same again":           {[]string{own}, own},
		"the first of two":         {[]string{second, own}, second},
		"behind others":            {[]string{lora, garbage, missing, untyped, own}, own},
		"architecture says enough": {[]string{onlyArchitecture}, onlyArchitecture},
		"a LoRA":                   {[]string{lora, lora}, ""},
		"no type":                  {[]string{untyped}, ""},
		"type in the wrong place":  {[]string{underArchitecture}, ""},
		"a reward":                 {[]string{reward}, ""},
		"garbage":                  {[]string{garbage}, ""},
		"empty":                    {[]string{empty}, ""},
		"cut short":                {[]string{cut}, ""},
		"missing":                  {[]string{missing}, ""},
		"a folder":                 {[]string{t.TempDir()}, ""},
	} {
		if got := FindProxy(test.adapters); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestFindProxyRemembersNoFailure: a file that could not be read is looked at again.
func TestFindProxyRemembersNoFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "late.gguf")
	if got := FindProxy([]string{path}); got != "" {
		t.Fatalf("%q before there is a file", got)
	}
	if err := proxyModel(t, proxy.Prefix, 1, nil).WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if got := FindProxy([]string{path}); got != path {
		t.Errorf("%q once it is there, want %q", got, path)
	}
}

// TestFindProxyReadsAFileOnce: it is asked at every request.
func TestFindProxyReadsAFileOnce(t *testing.T) {
	_, path := storeProxy(t, proxyModel(t, proxy.Prefix, 1, nil))
	lora := ggufFile(t, ggml.KV{"general.architecture": "llama", "adapter.type": "lora"})
	for range 2 {
		if got := FindProxy([]string{lora, path}); got != path {
			t.Fatalf("%q, want %q", got, path)
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
		"many tensors":     header(3, 1<<62, 0),
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
			if got := FindProxy([]string{path}); got != "" {
				t.Errorf("found a proxy in %q", got)
			}
		})
	}
}
