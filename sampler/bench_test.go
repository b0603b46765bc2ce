package sampler

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkPool builds pools at T 0.8 and top-p 0.9. "flat" has a pool of most
// of the vocabulary, the worst case; "slow" is the tests' full sort on the same
// logits as "fast".
func BenchmarkPool(b *testing.B) {
	for _, n := range []int{49152, 262144} {
		text, flat := textLogits(1, n), textLogits(1, n)
		for i := range flat {
			flat[i] /= 10
		}
		masked := textLogits(1, n)
		for i, r := 0, rand.New(rand.NewPCG(1, 1)); i < n; i++ {
			if r.IntN(100) > 0 {
				masked[i] = negInf
			}
		}
		for _, k := range []int{40, 0} {
			o := DefaultOptions()
			o.TopK = k
			bench := func(name string, logits []float32, build func([]float32) int) {
				b.Run(fmt.Sprintf("%d/top_k=%d/%s", n, k, name), func(b *testing.B) {
					b.ReportAllocs()
					build(logits) // grows the scratch
					candidates := build(logits)
					for b.Loop() {
						candidates = build(logits)
					}
					b.ReportMetric(float64(candidates), "candidates")
				})
			}
			var p Pool
			fast := func(logits []float32) int {
				if err := p.Build(logits, o); err != nil {
					b.Fatal(err)
				}
				return len(p.Candidates())
			}
			bench("fast", text, fast)
			bench("fast,flat", flat, fast)
			bench("fast,masked", masked, fast)
			bench("slow", text, func(logits []float32) int { return len(slowPool(logits, o)) })
		}
	}
}
