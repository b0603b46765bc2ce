//go:build patched

package integration

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"encoding/json"
	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"strings"
)

func firstIndex(s, part string) int { return max(strings.Index(s, part), 0) }

func validCity(text string) bool {
	var v map[string]string
	return json.Unmarshal([]byte(text), &v) == nil && v["city"] != ""
}

// patchVersion changes proxy_rlhf.version, a uint32 after its key and type in a GGUF file.
func patchVersion(t testing.TB, data []byte, version byte) []byte {
	t.Helper()
	key := []byte("proxy_rlhf.version")
	i := bytes.Index(data, key)
	if i < 0 {
		t.Fatal("no proxy_rlhf.version in the file")
	}
	data[i+len(key)+4] = version
	return data
}

// otherModel is a whole proxy made for another model.
func otherModel(t testing.TB, width int, architecture string) []byte {
	t.Helper()
	base := proxy.Base{Architecture: architecture, EmbeddingLength: width, VocabSize: modelShape.VocabSize}
	m, err := proxy.New(proxy.Config{
		Features: proxy.Prefix, EmbeddingLength: width, FeedForwardLength: []int{16}, Activation: proxy.Tanh,
		Pool: sampler.DefaultOptions(), Cutoff: 0.5, Base: base,
	}, rand.New(rand.NewPCG(1, 1)))
	check(t, err)
	path := filepath.Join(t.TempDir(), "proxy.gguf")
	check(t, m.WriteFile(path))
	data, err := os.ReadFile(path)
	check(t, err)
	return data
}
