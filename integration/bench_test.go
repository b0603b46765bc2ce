//go:build patched

package integration

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ollama/ollama/sample"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// way is one way of decoding that a benchmark times.
type way struct {
	name    string
	server  *server
	options map[string]any
}

// seconds asks for n replies at once and returns the time that one forward pass of the decode loop took.
func (w way) seconds(b *testing.B, round, n int) float64 {
	replies := make([]reply, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range n {
		options := maps.Clone(w.options)
		options["seed"], options["num_predict"] = 1000*round+i, 64
		wg.Add(1)
		go func() {
			defer wg.Done()
			replies[i], errs[i] = w.server.try("/api/generate", map[string]any{"prompt": questions[(round+i)%len(questions)], "options": options})
		}()
	}
	wg.Wait()
	wall := time.Since(start).Seconds()
	forwards := 0
	for i, r := range replies {
		check(b, errs[i])
		if r.Proxy != nil {
			forwards += r.Proxy.Forwards
		} else {
			forwards += r.EvalCount
		}
	}
	if n == 1 {
		return replies[0].EvalDuration.Seconds() / float64(forwards)
	}
	return wall / float64(forwards)
}

// BenchmarkDecode times one forward pass of the patched build's ways of decoding against the stock build, in turn, and reports
// the medians of the paired ratios: stock's time ÷ ours, so that 1 is stock's speed and less is slower.
func BenchmarkDecode(b *testing.B) {
	const rounds = 5
	stock := start(b, "bench/stock", root("bin", "ollama-stock"), "OLLAMA_NEW_ENGINE=1")
	ours := start(b, "bench/patched", root("bin", "ollama"), wire.RolloutVariable+"=1")
	prefix := ours.push(b, newProxy(b, proxy.Prefix, 21, nil))
	lookahead := ours.push(b, newProxy(b, proxy.Lookahead, 21, nil))
	ways := []way{
		{"stock", stock, map[string]any{}},
		{"patched, no proxy", ours, map[string]any{}},
		{"prefix, 2048 hidden", ours, map[string]any{"proxy": prefix}},
		{"lookahead, 2048 hidden", ours, map[string]any{"proxy": lookahead}},
		{"prefix, exploring", ours, map[string]any{"proxy": prefix, "proxy_explore": true}},
		{"prefix, exploring, decisions", ours, map[string]any{"proxy": prefix, "proxy_explore": true, "proxy_trace": wire.TraceDecisions}},
		{"prefix, exploring, features", ours, map[string]any{"proxy": prefix, "proxy_explore": true, "proxy_trace": wire.TraceFeatures}},
	}
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprintf("%d at once", n), func(b *testing.B) {
			for range b.N {
				times := make([][]float64, len(ways))
				for round := range rounds {
					for i := range ways {
						// Each round begins with another one, so that none always follows the same.
						w := (i + round) % len(ways)
						times[w] = append(times[w], ways[w].seconds(b, round, n))
					}
				}
				var table strings.Builder
				fmt.Fprintf(&table, "\n%-30s %10s %14s   (%d at once, medians of %d rounds)\n", "", "forwards/s", "÷ stock", n, rounds)
				for w, way := range ways {
					ratios := make([]float64, rounds)
					for i := range ratios {
						ratios[i] = times[0][i] / times[w][i]
					}
					fmt.Fprintf(&table, "%-30s %10.1f %14.3f\n", way.name, 1/median(times[w]), median(ratios))
					b.ReportMetric(median(ratios), strings.ReplaceAll(strings.ReplaceAll(way.name, ",", ""), " ", "_")+"/stock")
				}
				b.Log(table.String())
			}
		})
	}
}

// BenchmarkPool times a pool against the stock sampler at the same settings.
func BenchmarkPool(b *testing.B) {
	for _, vocabulary := range []int{49152, 262144} {
		logits := peakedLogits(vocabulary)
		for _, topK := range []int{40, 0} {
			b.Run(fmt.Sprintf("vocabulary=%d/top_k=%d", vocabulary, topK), func(b *testing.B) {
				o := sampler.DefaultOptions()
				o.TopK = topK
				theirs := sample.NewSampler(float32(o.Temperature), topK, float32(o.TopP), 0, 1, nil)
				var pool sampler.Pool
				var ours, stocks time.Duration
				for range b.N {
					start := time.Now()
					_, err := theirs.Sample(logits)
					stocks += time.Since(start)
					check(b, err)
					start = time.Now()
					err = pool.Build(logits, o)
					ours += time.Since(start)
					check(b, err)
				}
				b.ReportMetric(float64(ours)/float64(stocks), "ours/stock")
				b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "pool-µs")
				b.ReportMetric(float64(stocks.Microseconds())/float64(b.N), "stock-µs")
			})
		}
	}
}

// peakedLogits are shaped as an LLM's: a wide Gaussian bulk and a few dozen tokens that stand out.
func peakedLogits(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = float32(2.5 * rng.NormFloat64())
	}
	for range 60 {
		logits[rng.IntN(n)] = float32(10 + 4*math.Abs(rng.NormFloat64()))
	}
	return logits
}

func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return s[len(s)/2]
}
