//go:build patched

package integration

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/plugin"
	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// siblings is a patched server that shows a lookahead proxy n candidates at once.
func siblings(t testing.TB, n int, exact bool, environment ...string) *server {
	s := start(t, fmt.Sprintf("%s/siblings-%d-%t", t.Name(), n, exact), root("bin", "ollama"), append(environment,
		wire.RolloutVariable+"=1", fmt.Sprintf("%s=%d", plugin.SiblingsVariable, n), fmt.Sprintf("%s=%t", plugin.SiblingsExactVariable, exact))...)
	stopAfter(t, s)
	return s
}

// Several candidates in one pass are decided as one at a time, in fewer passes; when exactness is asked for, with the very
// logits, though a pass over several tokens rounds differently. Branches give their cells back: the servers' one slot has 128
// and a few, where all the replies together would leave thousands.
func TestSiblings(t *testing.T) {
	small := []string{"OLLAMA_NUM_PARALLEL=1", "OLLAMA_CONTEXT_LENGTH=128"}
	one, four, exact := siblings(t, 1, false, small...), siblings(t, 4, false, small...), siblings(t, 4, true, small...)
	for _, architecture := range []string{"llama", "gemma3"} { // the latter's attention slides
		data, shape := randomModel(t, architecture, 5)
		name := "siblings-" + architecture
		one.create(t, name, map[string]any{"files": map[string]string{"model.gguf": one.push(t, data)}})
		digest := one.push(t, newProxyFor(t, shape, proxy.Lookahead, 5, nil))
		forwards := map[*server]int{}
		for i, q := range questions[:12] {
			replies := map[*server]reply{}
			for _, s := range []*server{one, four, exact} {
				request := explored(digest, q, i)
				request["model"], request["raw"], request["logprobs"], request["top_logprobs"] = name, true, true, longest
				options := request["options"].(map[string]any)
				options["top_p"], options["proxy_pt"], options["proxy_max_rejections"], options["num_predict"] = 1, 1e-4, 9, 28 // Ollama cuts a reply that says one token 30 times
				options["proxy_explore"] = i%2 == 0
				if i%4 > 1 {
					options["proxy_cutoff"] = 0.9
				}
				replies[s] = s.generate(t, request)
				forwards[s] += replies[s].Proxy.Forwards
			}
			differently(t, replies[one], replies[four])
			if i < 4 {
				sameLogits(t, one, name, q, replies[four])
			}
			lastBits := cmp.Options{withoutTimes, cmpopts.IgnoreFields(reply{}, "ProxyStates"), cmpopts.IgnoreFields(wire.Stats{}, "Forwards"), cmpopts.IgnoreFields(wire.Decision{}, "Accept", "Features")}
			if d := cmp.Diff(replies[one], replies[exact], lastBits); d != "" {
				t.Errorf("%s, %q: one at a time −, four exactly +\n%s", architecture, q, d)
			}
			if r := replies[one]; r.Proxy.Forwards != r.Proxy.Proposed {
				t.Errorf("one at a time: %+v", r.Proxy)
			}
		}
		if forwards[four] > forwards[one]/2 || forwards[exact] >= forwards[one] {
			t.Errorf("%s: %d forwards one at a time, %d with four, %d exactly", architecture, forwards[one], forwards[four], forwards[exact])
		}
	}
}

// rounding is how far a probability or a log-probability may be between two ways to add up the same numbers: these models
// are float32, but keys and values are cached in float16.
const rounding = 0.02

// differently fails unless the first decision on which two replies differ is one that rounding may turn.
func differently(t *testing.T, x, y reply) {
	t.Helper()
	for i := range min(len(x.Decisions), len(y.Decisions)) {
		a, b := x.Decisions[i], y.Decisions[i]
		if math.Abs(a.Prob-b.Prob) > rounding || a.Token == b.Token && a.Accept != nil && b.Accept != nil && math.Abs(*a.Accept-*b.Accept) > rounding {
			t.Errorf("decision %d: one at a time %s of %d with %.4f, probability %.4f, rank %d of %d; with siblings %s of %d with %.4f, probability %.4f, rank %d of %d",
				i, a.Action, a.Token, value(a.Accept), a.Prob, a.Rank, a.Pool, b.Action, b.Token, value(b.Accept), b.Prob, b.Rank, b.Pool)
		}
		if a.Token != b.Token || a.Action != b.Action {
			return
		}
	}
	if x.Response != y.Response {
		t.Errorf("the same decisions, another text: %q and %q", x.Response, y.Response)
	}
}

func value(p *float64) float64 {
	if p == nil {
		return math.NaN()
	}
	return *p
}

// sameLogits compares the largest log-probabilities at every token of a reply to a question with those that the model gives
// without a proxy after the same tokens: what a reply leaves in the cache is what was accepted.
func sameLogits(t *testing.T, s *server, name, question string, r reply) {
	t.Helper()
	text := ""
	for i, token := range r.LogProbs {
		want := s.generate(t, map[string]any{
			"model": name, "logprobs": true, "top_logprobs": 5, "raw": true, "prompt": question + text,
			"options": map[string]any{"num_predict": 1, "temperature": 0},
		})
		if d := cmp.Diff(want.LogProbs[0].Top[0].LogProb, token.Top[0].LogProb, cmpopts.EquateApprox(0, 5*rounding)); d != "" {
			t.Fatalf("token %d of the reply to %q: without a proxy −, with siblings +\n%s", i, question, d)
		}
		text += token.Token
	}
}

// BenchmarkSiblings times tokens with 1, 4 and 8 candidates a pass at several rates of rejection, in turn, and reports the
// medians of the paired ratios: the time of one at a time ÷ that of many. Above 1, many pay. It prints too by how much
// pi(accept) of the same candidate differs between a pass of its own and one of several.
func BenchmarkSiblings(b *testing.B) {
	const rounds = 3
	counts := []int{1, 4, 8}
	servers := make([]*server, len(counts))
	for i, n := range counts {
		servers[i] = siblings(b, n, false, "OLLAMA_NUM_PARALLEL=1")
	}
	digest := servers[0].push(b, newProxy(b, proxy.Lookahead, 22, nil))
	rates := []map[string]any{
		{"proxy_cutoff": 0.3}, {}, {"proxy_cutoff": 1},
		{"proxy_cutoff": 1, "temperature": 1, "proxy_pt": 1e-3, "proxy_max_rejections": 7},
		{"proxy_cutoff": 1, "temperature": 1.5, "proxy_pt": 1e-4, "proxy_max_rejections": 15},
	}
	for range b.N {
		var table strings.Builder
		fmt.Fprintf(&table, "\n%16s %14s %14s   (time of 1 a pass ÷ time, medians of %d rounds)\n", "rejections/token", "4 a pass", "8 a pass", rounds)
		largest := 0.0
		for _, rate := range rates {
			times := make([][]float64, len(servers))
			rejections, tokens := 0, 0
			for round := range rounds {
				var first reply
				for i, s := range servers {
					request := explored(digest, questions[round], round)
					options := request["options"].(map[string]any)
					options["proxy_explore"], options["proxy_trace"] = false, wire.TraceDecisions
					for name, v := range rate {
						options[name] = v
					}
					r := s.generate(b, request)
					times[i] = append(times[i], r.EvalDuration.Seconds()/float64(r.EvalCount))
					if i == 0 {
						first, rejections, tokens = r, rejections+r.Proxy.Rejected, tokens+r.EvalCount
					}
					largest = max(largest, difference(first, r))
				}
			}
			fmt.Fprintf(&table, "%16.2f", float64(rejections)/float64(tokens))
			for i := range servers[1:] {
				ratios := make([]float64, rounds)
				for round := range ratios {
					ratios[round] = times[0][round] / times[i+1][round]
				}
				fmt.Fprintf(&table, " %14.2f", median(ratios))
				b.ReportMetric(median(ratios), fmt.Sprintf("%d_at_%.1f_rejections/1", counts[i+1], float64(rejections)/float64(tokens)))
			}
			table.WriteByte('\n')
		}
		fmt.Fprintf(&table, "largest difference of pi(accept) while the replies are the same: %.4f\n", largest)
		b.Log(table.String())
	}
}

// difference is the largest of pi(accept) between two replies, as far as they decide the same.
func difference(x, y reply) float64 {
	largest := 0.0
	for i := range min(len(x.Decisions), len(y.Decisions)) {
		a, b := x.Decisions[i], y.Decisions[i]
		if !slices.Equal([]any{a.Position, a.Token, a.Rank}, []any{b.Position, b.Token, b.Rank}) {
			break
		}
		if a.Accept != nil && b.Accept != nil {
			largest = max(largest, math.Abs(*a.Accept-*b.Accept))
		}
	}
	return largest
}
