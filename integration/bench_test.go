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
	// base is the index of the way that this one is compared with.
	base int
}

// tokens is how long a timed reply is at most: long beside the request's own cost.
const tokens = 96

// seconds asks for n replies at once and returns the wall time for each forward pass of the decode loop. Ollama's own
// eval_duration leaves out the time spent on sampling, the proxy's too.
func (w way) seconds(b *testing.B, round, n int) float64 {
	replies := make([]reply, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range n {
		options := maps.Clone(w.options)
		options["seed"], options["num_predict"] = 1000*round+i, tokens
		wg.Go(func() {
			// Few prompts, so that most are in the cache: passes over prompts are stock's own.
			replies[i], errs[i] = w.server.try("/api/generate", map[string]any{"prompt": questions[i], "options": options})
		})
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
	return wall / float64(forwards)
}

// BenchmarkDecode times one forward pass of the patched build's ways of decoding, in turn, and reports the medians of the
// paired ratios: the other's time ÷ this one's, so that 1 is the other's speed and less is slower.
func BenchmarkDecode(b *testing.B) {
	stock := start(b, "bench/stock", root("bin", "ollama-stock"), "OLLAMA_NEW_ENGINE=1")
	ours := start(b, "bench/patched", root("bin", "ollama"), wire.RolloutVariable+"=1")
	prefix := ours.push(b, newProxy(b, proxy.Prefix, 21, nil))
	lookahead := ours.push(b, newProxy(b, proxy.Lookahead, 21, nil))
	ways := []way{
		{"stock", stock, map[string]any{}, 0},
		{"patched, no proxy", ours, map[string]any{}, 0},
		{"prefix, 2048 hidden", ours, map[string]any{"proxy": prefix}, 0},
		{"lookahead, 2048 hidden", ours, map[string]any{"proxy": lookahead}, 0},
		{"stock, greedy", stock, map[string]any{"temperature": 0}, 4},
		{"tap on, nothing to decide", ours, map[string]any{"proxy": prefix, "temperature": 0}, 4},
		{"prefix, exploring", ours, map[string]any{"proxy": prefix, "proxy_explore": true}, 0},
		{"the same, decisions traced", ours, map[string]any{"proxy": prefix, "proxy_explore": true, "proxy_trace": wire.TraceDecisions}, 6},
		{"the same, features traced", ours, map[string]any{"proxy": prefix, "proxy_explore": true, "proxy_trace": wire.TraceFeatures}, 6},
	}
	for _, c := range []struct{ atOnce, rounds int }{{1, 15}, {8, 15}} {
		b.Run(fmt.Sprintf("%d at once", c.atOnce), func(b *testing.B) {
			for range b.N {
				for _, w := range ways {
					w.seconds(b, 0, c.atOnce) // prompts into the cache, proxies into memory
				}
				times := make([][]float64, len(ways))
				for round := range c.rounds {
					for i := range ways {
						// Each round begins with another one, so that none always follows the same.
						w := (i + round) % len(ways)
						times[w] = append(times[w], ways[w].seconds(b, round, c.atOnce))
					}
				}
				var table strings.Builder
				fmt.Fprintf(&table, "\n%-28s %10s %8s %16s   (%d at once, medians and quartiles of %d rounds)\n", "", "forwards/s", "ratio", "to", c.atOnce, c.rounds)
				for w, way := range ways {
					ratios := make([]float64, c.rounds)
					for i := range ratios {
						ratios[i] = times[way.base][i] / times[w][i]
					}
					fmt.Fprintf(&table, "%-28s %10.1f %8.3f [%.3f, %.3f] %s\n", way.name, 1/median(times[w]), median(ratios), quantile(ratios, .25), quantile(ratios, .75), ways[way.base].name)
					b.ReportMetric(median(ratios), strings.ReplaceAll(strings.ReplaceAll(way.name, ",", ""), " ", "_")+"/"+strings.ReplaceAll(strings.ReplaceAll(ways[way.base].name, ",", ""), " ", "_"))
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

func median(xs []float64) float64 { return quantile(xs, .5) }

func quantile(xs []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return s[int(q*float64(len(s)-1)+.5)]
}
