package plugin

import (
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// BenchmarkMemory reports what a proxy of the paper's size takes at the width of a 7B model, with 32 sequences that use it:
// the parameters, the caches at their full size and the sequences' own vectors.
func BenchmarkMemory(b *testing.B) {
	for _, features := range []proxy.Features{proxy.Lookahead, proxy.Prefix} {
		b.Run(string(features), func(b *testing.B) {
			base := proxy.Base{Architecture: "llama", EmbeddingLength: 4096, VocabSize: 32000}
			m, err := proxy.New(proxy.Config{
				Features: features, EmbeddingLength: 4096, FeedForwardLength: []int{2048}, Activation: proxy.ReLU,
				Pool: sampler.DefaultOptions(), Cutoff: proxy.DefaultCutoff, Base: base,
			}, rand.New(rand.NewPCG(1, 1)))
			if err != nil {
				b.Fatal(err)
			}
			path := filepath.Join(b.TempDir(), "proxy.gguf")
			if err := m.WriteFile(path); err != nil {
				b.Fatal(err)
			}
			m = nil
			for range b.N {
				before := heap()
				r, err := NewRunner(Host{Base: base, CanRewind: true, Siblings: Siblings{Count: 1}}, path)
				if err != nil {
					b.Fatal(err)
				}
				var gates []*Gate
				for range 32 {
					gates = append(gates, gateOf(b, r, wire.Request{}, GateOptions{}))
				}
				b.ReportMetric(float64(heap()-before)/1e6, "MB")
				runtime.KeepAlive(gates)
			}
		})
	}
}

// heap is the bytes in use after all that can go has gone.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
