package plugin

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// statesOf is the definition of wire.States: the LLM's states at the first n tokens of a reply, or at the prompt's end.
func statesOf(llm fakeLLM, tokens []int32, n int) *wire.States {
	state := func(n int) []float32 {
		_, hidden := llm.pass(slices.Concat(prompt, tokens[:n]))
		return hidden
	}
	out := &wire.States{Mean: make(wire.Vector, fakeWidth), Last: state(n), Tokens: n}
	for i := 1; i <= n; i++ {
		for k, x := range state(i) {
			out.Mean[k] += x / float32(n)
		}
	}
	if n == 0 {
		out.Mean = out.Last
	}
	return out
}

var nearly = cmpopts.EquateApprox(0, 1e-5)

// The end-of-sequence token never counts; a last token that was not fed cannot.
func TestStatesOfAGeneratedReply(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		lengths, ends := map[int]bool{}, 0
		for seed := range uint64(60) {
			for _, limit := range []int{1, 2, 9} {
				llm := fakeLLM{seed: seed, alter: func(tokens []int32, logits, _ []float32) {
					if seed%3 == 0 && len(tokens) == len(prompt)+int(seed/3)%4 {
						logits[fakeEnd] = 30
					}
				}}
				g := gateOf(t, runnerOf(t, llm, proxyModel(t, features, seed, nil)), wire.Request{Trace: wire.TraceFeatures, Explore: true}, GateOptions{Seed: int(seed)})
				got := mustDrive(t, g, llm, limit)
				n := len(got.Tokens)
				if got.Tokens[n-1] == fakeEnd {
					ends++
					n--
				} else if !g.Lookahead() {
					n--
				}
				lengths[n] = true
				if d := cmp.Diff(statesOf(llm, got.Tokens, n), g.States(), nearly); d != "" {
					t.Fatalf("seed %d, limit %d, reply %v: states −want +got\n%s", seed, limit, got.Tokens, d)
				}
			}
		}
		if !lengths[1] || !lengths[8] || ends < 10 {
			t.Errorf("replies of %v counted tokens, %d of them ended: this test shows too little", lengths, ends)
		}
	})
}

func TestNoStatesWithoutFeatures(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		llm := fakeLLM{seed: 1}
		for _, trace := range []string{wire.TraceOff, wire.TraceDecisions} {
			g := gateOf(t, runnerOf(t, llm, proxyModel(t, features, 1, nil)), wire.Request{Trace: trace}, GateOptions{})
			mustDrive(t, g, llm, 5)
			if s := g.States(); s != nil {
				t.Errorf("trace %q: states of %d tokens", trace, s.Tokens)
			}
		}
	})
}

// A reading in batches of any size gives what the definition gives.
func TestReading(t *testing.T) {
	llm := fakeLLM{seed: 3}
	reply := []int32{5, 9, 5, 30, 2}
	for n := range len(reply) + 1 {
		for size := 1; size <= len(prompt)+n; size++ {
			tokens := slices.Concat(prompt, reply[:n])
			r := NewReading(len(prompt), n)
			done := false
			for first := 0; first < len(tokens); first += size {
				if done || r.States() != nil {
					t.Fatalf("reply of %d in batches of %d: done before position %d", n, size, first)
				}
				var states []float32
				for position := first; position < min(first+size, len(tokens)); position++ {
					if r.Wants(position) {
						_, hidden := llm.pass(tokens[:position+1])
						states = append(states, hidden...)
					}
				}
				done = r.Add(states, fakeWidth)
			}
			if !done || r.Wants(len(tokens)) {
				t.Errorf("reply of %d in batches of %d: done %v, wants more %v", n, size, done, r.Wants(len(tokens)))
			}
			if d := cmp.Diff(statesOf(llm, reply, n), r.States(), nearly); d != "" {
				t.Errorf("reply of %d in batches of %d: −want +got\n%s", n, size, d)
			}
		}
	}
}

func TestFit(t *testing.T) {
	for _, test := range []struct{ prompt, reply, room, wantPrompt, wantReply int }{
		{3, 4, 10, 3, 4},
		{3, 4, 7, 3, 4},
		{3, 4, 6, 2, 4},
		{3, 4, 5, 1, 4},
		{3, 4, 4, 1, 3},
		{3, 0, 2, 2, 0},
		{9, 9, 2, 1, 1},
	} {
		if p, r := Fit(test.prompt, test.reply, test.room); p != test.wantPrompt || r != test.wantReply {
			t.Errorf("%d + %d tokens in %d: %d + %d, want %d + %d", test.prompt, test.reply, test.room, p, r, test.wantPrompt, test.wantReply)
		}
	}
}
