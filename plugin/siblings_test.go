package plugin

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

type siblingCase struct {
	count   int
	crowded bool // batches have room for some of the siblings only
}

// siblingDecodings calls check with what a gate decides one candidate at a time, and with what it decides with siblings, for
// cutoffs and exploration, whole batches and crowded ones. round disturbs the passes of a batch.
func siblingDecodings(t *testing.T, exact bool, round func(logits, hidden []float32), check func(t *testing.T, c siblingCase, one, many reply)) {
	t.Helper()
	llm := fakeLLM{seed: 31}
	wide := func(m *proxy.Model) { m.Pool = sampler.Options{Temperature: 1, TopP: 1} }
	r := runnerOf(t, llm, proxyModel(t, proxy.Lookahead, 4, wide))
	grammar := func() Grammar {
		return &fakeGrammar{allow: func(position int, token int32) bool { return token != fakeEnd || position > 12 }}
	}
	for i := range 12 {
		cutoff := []float64{0, 0.5, 0.8, 1}[i%4]
		req := wire.Request{Cutoff: &cutoff, Explore: i >= 6, Trace: wire.TraceFeatures}
		o := GateOptions{Seed: i, Logprobs: true, Grammar: grammar()}
		r.host.Siblings = Siblings{Count: 1}
		one := mustDrive(t, gateOf(t, r, req, o), llm, 24)
		for _, count := range []int{2, 8, 64} {
			for _, crowded := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d-%d-%t", i, count, crowded), func(t *testing.T) {
					b := batches{llm: llm, round: round}
					if crowded {
						rng := rand.New(rand.NewPCG(uint64(i), 0))
						b.room = func(n int) int { return 1 + rng.IntN(n) }
					}
					r.host.Siblings = Siblings{Count: count, Exact: exact}
					o.Grammar = grammar()
					many, err := b.drive(gateOf(t, r, req, o), 24)
					if err != nil {
						t.Fatal(err)
					}
					check(t, siblingCase{count, crowded}, one, many)
				})
			}
		}
	}
}

var fewerPasses = cmp.Options{cmpopts.IgnoreFields(reply{}, "Passes"), cmpopts.IgnoreFields(wire.Stats{}, "Forwards")}

// Where a batch rounds like a single pass, siblings decide the same to the last bit, in fewer passes.
func TestSiblingsDecideTheSame(t *testing.T) {
	saved := 0
	siblingDecodings(t, false, nil, func(t *testing.T, c siblingCase, one, many reply) {
		if diff := cmp.Diff(one, many, fewerPasses); diff != "" {
			t.Fatalf("-one at a time +siblings:\n%s", diff)
		}
		if many.Stats.Forwards != many.Passes-1 || many.Stats.Forwards > one.Stats.Forwards {
			t.Errorf("%d forwards in %d passes, one at a time %d", many.Stats.Forwards, many.Passes, one.Stats.Forwards)
		}
		saved += one.Stats.Forwards - many.Stats.Forwards
	})
	if saved < 1000 {
		t.Errorf("siblings saved %d passes in all", saved)
	}
}

// A batch of everything that can be rejected takes one pass a token.
func TestSiblingsPasses(t *testing.T) {
	llm := fakeLLM{seed: 31, endless: true}
	r := runnerOf(t, llm, proxyModel(t, proxy.Lookahead, 4, func(m *proxy.Model) {
		m.Pool = sampler.Options{Temperature: 1, TopP: 1, MaxRejections: 7}
	}))
	never := 1.0
	for count, want := range map[int]int{1: 8 * 10, 3: 3 * 10, 4: 2 * 10, 8: 10, 9: 10} {
		r.host.Siblings = Siblings{Count: count}
		got := mustDrive(t, gateOf(t, r, wire.Request{Cutoff: &never}, GateOptions{}), llm, 10)
		if s := got.Stats; s.Forwards != want || s.Rejected != 70 || s.Forced != 10 {
			t.Errorf("%d siblings: %+v, want %d forwards for 70 rejections and 10 tokens", count, s, want)
		}
	}
}

// When exactness is asked for, a batch that rounds differently changes no decision and no logit of the reply.
func TestSiblingsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	round := func(logits, hidden []float32) {
		for _, values := range [][]float32{logits, hidden} {
			for i := range values {
				values[i] += float32(0.02 * rng.NormFloat64())
			}
		}
	}
	saved := 0
	// Where a sibling is rejected its score is the batch's.
	batch := cmp.Options{fewerPasses, cmpopts.IgnoreFields(wire.Decision{}, "Accept", "Features")}
	siblingDecodings(t, true, round, func(t *testing.T, c siblingCase, one, many reply) {
		if diff := cmp.Diff(one, many, batch); diff != "" {
			t.Fatalf("-one at a time +siblings:\n%s", diff)
		}
		for i, d := range many.Decisions {
			if want := one.Decisions[i]; d.Action == wire.Accept && (*d.Accept != *want.Accept || !slices.Equal(d.Features, want.Features)) {
				t.Errorf("decision %d: accepted with %v, one at a time with %v", i, *d.Accept, *want.Accept)
			}
		}
		if c.count >= 8 && !c.crowded && one.Stats.Rejected > 10*one.Stats.Tokens() {
			saved++
			if many.Stats.Forwards >= one.Stats.Forwards {
				t.Errorf("%d forwards, one at a time %d", many.Stats.Forwards, one.Stats.Forwards)
			}
		}
	})
	if saved == 0 {
		t.Error("no reply with many rejections")
	}
	// The same disturbance shows where exactness is not asked for, or this test shows nothing.
	different := 0
	siblingDecodings(t, false, round, func(t *testing.T, c siblingCase, one, many reply) {
		if !cmp.Equal(one, many, batch) {
			different++
		}
	})
	if different == 0 {
		t.Error("the disturbance changes nothing")
	}
}

func TestServerSiblings(t *testing.T) {
	for _, test := range []struct {
		count, exact string
		want         Siblings
	}{
		{"", "", Siblings{Count: 1}},
		{"4", "", Siblings{Count: 4}},
		{"64", "1", Siblings{Count: 64, Exact: true}},
		{"0", "0", Siblings{Count: 1}},
		{"65", "", Siblings{Count: 1}},
		{"many", "maybe", Siblings{Count: 1}},
	} {
		t.Setenv(SiblingsVariable, test.count)
		t.Setenv(SiblingsExactVariable, test.exact)
		if diff := cmp.Diff(test.want, ServerSiblings()); diff != "" {
			t.Errorf("%q, %q (-want +got):\n%s", test.count, test.exact, diff)
		}
	}
}
