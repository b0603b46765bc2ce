package plugin

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// near is how far the evaluator's float32 may be from the reference's float64, in pi(accept).
var near = cmpopts.EquateApprox(0, 1e-5)

// checkAgainstReference decodes with a gate and with the reference, compares all there is to compare, and returns the
// decisions.
func checkAgainstReference(t *testing.T, r *Runner, want slowDecoding, req wire.Request) []wire.Decision {
	t.Helper()
	o := GateOptions{Seed: want.seed}
	if want.allow != nil {
		o.Grammar = &fakeGrammar{allow: want.allow}
	}
	want.features = req.Trace == wire.TraceFeatures
	got := mustDrive(t, gateOf(t, r, req, o), want.llm, want.limit)
	decisions, tokens := want.run()
	if diff := cmp.Diff(decisions, parsed(got.Decisions), near); diff != "" {
		t.Fatalf("decisions (-reference +gate):\n%s", diff)
	}
	if diff := cmp.Diff(tokens, got.Tokens); diff != "" {
		t.Fatalf("tokens (-reference +gate):\n%s", diff)
	}
	if diff := cmp.Diff(slowStats(want.proxy.Features, r.own.Digest, decisions), got.Stats); diff != "" {
		t.Fatalf("stats (-reference +gate):\n%s", diff)
	}
	passes := got.Stats.Forwards
	if want.proxy.Features == proxy.Lookahead {
		passes++ // the prompt's, at which there is no candidate yet
	}
	if got.Passes != passes {
		t.Fatalf("%d passes of the LLM, want %d for %d forwards", got.Passes, passes, got.Stats.Forwards)
	}
	if g, ok := o.Grammar.(*fakeGrammar); ok {
		if diff := cmp.Diff(tokens, g.accepted); diff != "" {
			t.Fatalf("what the grammar was told (-reference +gate):\n%s", diff)
		}
	}
	return got.Decisions
}

// requestOf puts all of a reference's settings into a request.
func requestOf(s slowDecoding, trace string) wire.Request {
	o := s.options
	return wire.Request{
		PT: &o.PT, Cutoff: &s.cutoff, MaxRejections: &o.MaxRejections,
		Temperature: &o.Temperature, TopK: &o.TopK, TopP: &o.TopP, MinP: &o.MinP,
		Explore: s.explore, Trace: trace,
	}
}

func TestGateAgreesWithReference(t *testing.T) {
	wide := sampler.Options{Temperature: 1, TopP: 1}
	tests := map[string]struct {
		options sampler.Options
		cutoff  float64
		proxy   func(*proxy.Model)
		allow   func(position int, token int32) bool
	}{
		"defaults":          {options: sampler.DefaultOptions(), cutoff: 0.5},
		"whole vocabulary":  {options: wide, cutoff: 0.5},
		"high p_t":          {options: sampler.Options{Temperature: 1, TopP: 1, PT: 0.1}, cutoff: 0.5},
		"one rejection":     {options: sampler.Options{Temperature: 1, TopP: 1, MaxRejections: 1}, cutoff: 0.8},
		"top-k":             {options: sampler.Options{Temperature: 2, TopP: 1, TopK: 5}, cutoff: 0.7},
		"top-p and min-p":   {options: sampler.Options{Temperature: 1.5, TopP: 0.95, MinP: 0.05, PT: 0.02}, cutoff: 0.6},
		"cold":              {options: sampler.Options{Temperature: 0.1, TopP: 0.9}, cutoff: 0.5},
		"arg max":           {options: sampler.Options{TopP: 0.9}, cutoff: 0.5},
		"everything in one": {options: sampler.Options{Temperature: 1.2, TopK: 30, TopP: 0.98, MinP: 0.001, PT: 0.01, MaxRejections: 3}, cutoff: 0.65},
		"accepts all":       {options: wide, cutoff: 0},
		"tanh, two layers, norm": {options: wide, cutoff: 0.5, proxy: func(m *proxy.Model) {
			m.Activation = proxy.Tanh
			m.Norm = proxy.NewNorm(m.InputLength())
			m.Norm.Weight[0], m.Norm.Bias[1] = 2, -1
		}},
		"silu": {options: wide, cutoff: 0.5, proxy: func(m *proxy.Model) { m.Activation = proxy.SiLU }},
		"grammar": {options: wide, cutoff: 0.6, allow: func(position int, token int32) bool {
			return (int(token)+position)%3 == 0
		}},
		"grammar of one token now and then": {options: wide, cutoff: 0.6, allow: func(position int, token int32) bool {
			return position%2 == 0 || int(token) == 10+position
		}},
	}
	actions := map[string]int{}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bothFeatures(t, func(t *testing.T, features proxy.Features) {
				s := slowDecoding{
					llm:     fakeLLM{seed: 11, endless: true},
					proxy:   proxyModel(t, features, 5, test.proxy),
					options: test.options,
					cutoff:  test.cutoff,
					seed:    42,
					allow:   test.allow,
					limit:   40,
				}
				r := runnerOf(t, s.llm, s.proxy)
				for _, s.explore = range []bool{false, true} {
					for _, d := range checkAgainstReference(t, r, s, requestOf(s, wire.TraceFeatures)) {
						actions[d.Action]++
					}
				}
			})
		})
	}
	for _, action := range []string{wire.Accept, wire.Reject, wire.Forced} {
		if actions[action] < 100 {
			t.Errorf("%d decisions are %q: the cases above prove too little about it", actions[action], action)
		}
	}
}

// TestGateAgreesWithReferenceAtRandom is the same for settings, proxies, texts and seeds drawn at random, with replies that
// end, and with traces without features.
func TestGateAgreesWithReferenceAtRandom(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		rng := rand.New(rand.NewPCG(3, 14))
		pick := func(of ...float64) float64 { return of[rng.IntN(len(of))] }
		ended := 0
		for model := range 6 {
			s := slowDecoding{llm: fakeLLM{seed: rng.Uint64()}, limit: 24}
			s.proxy = proxyModel(t, features, rng.Uint64(), nil)
			r := runnerOf(t, s.llm, s.proxy)
			for i := range 25 {
				s.options = sampler.Options{
					Temperature:   pick(0, 0.2, 0.8, 1, 1.7, 5),
					TopK:          int(pick(0, 0, 1, 2, 10, 1000)),
					TopP:          pick(0, 0.5, 0.9, 0.99, 1),
					MinP:          pick(0, 0, 0.01, 0.3, 1),
					PT:            pick(0, 0.001, 0.01, 0.03, 0.2, 1),
					MaxRejections: int(pick(0, 0, 1, 2, 7)),
				}
				s.cutoff = pick(0, 0.2, 0.5, 0.9, 1)
				s.explore = rng.IntN(2) == 0
				s.seed = rng.IntN(1000)
				trace := []string{wire.TraceDecisions, wire.TraceFeatures}[rng.IntN(2)]
				t.Run(fmt.Sprintf("%d-%d", model, i), func(t *testing.T) {
					decisions := checkAgainstReference(t, r, s, requestOf(s, trace))
					if decisions[len(decisions)-1].Token == fakeEnd {
						ended++
					}
				})
			}
		}
		if ended == 0 {
			t.Error("no reply ended with the end-of-sequence token")
		}
	})
}

// TestGateUsesTheFilesPool: what the request leaves open is the file's.
func TestGateUsesTheFilesPool(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		file := sampler.Options{Temperature: 1.3, TopK: 20, TopP: 0.97, MinP: 0.01, PT: 0.02, MaxRejections: 4}
		m := proxyModel(t, features, 8, func(m *proxy.Model) { m.Pool, m.Cutoff = file, 0.7 })
		s := slowDecoding{llm: fakeLLM{seed: 4, endless: true}, proxy: m, options: file, cutoff: 0.7, limit: 30}
		r := runnerOf(t, s.llm, m)
		checkAgainstReference(t, r, s, wire.Request{Trace: wire.TraceDecisions})

		zero, none := 0.0, 0
		s.options.PT, s.options.MaxRejections, s.options.TopK = 0, 0, 0
		checkAgainstReference(t, r, s, wire.Request{Trace: wire.TraceDecisions, PT: &zero, MaxRejections: &none, TopK: &none})
		s.cutoff = 0
		checkAgainstReference(t, r, s, wire.Request{Trace: wire.TraceDecisions, PT: &zero, MaxRejections: &none, TopK: &none, Cutoff: &zero})
	})
}

func TestGateSeed(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		llm := fakeLLM{seed: 1, endless: true}
		r := runnerOf(t, llm, proxyModel(t, features, 1, nil))
		decode := func(seed int) reply {
			return mustDrive(t, gateOf(t, r, wire.Request{Explore: true, Trace: wire.TraceDecisions}, GateOptions{Seed: seed}), llm, 60)
		}
		first := decode(5)
		if diff := cmp.Diff(first, decode(5)); diff != "" {
			t.Errorf("the same seed, another reply:\n%s", diff)
		}
		for _, other := range []int{6, -1} {
			if slices.Equal(first.Tokens, decode(other).Tokens) {
				t.Errorf("seed %d gives the reply of seed 5", other)
			}
		}
		if slices.Equal(decode(-1).Tokens, decode(-1).Tokens) {
			t.Error("seed -1 gives the same reply twice")
		}
	})
}

func TestTraceChangesNothing(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		llm := fakeLLM{seed: 2, endless: true}
		r := runnerOf(t, llm, proxyModel(t, features, 1, nil))
		for _, explore := range []bool{false, true} {
			decode := func(trace string) reply {
				return mustDrive(t, gateOf(t, r, wire.Request{Explore: explore, Trace: trace}, GateOptions{Seed: 9}), llm, 60)
			}
			off, decisions, full := decode(wire.TraceOff), decode(wire.TraceDecisions), decode(wire.TraceFeatures)
			if len(off.Decisions) > 0 {
				t.Errorf("%d decisions traced that nobody asked for", len(off.Decisions))
			}
			if len(decisions.Decisions) != off.Stats.Proposed {
				t.Errorf("%d decisions traced of %d", len(decisions.Decisions), off.Stats.Proposed)
			}
			ignore := cmpopts.IgnoreFields(reply{}, "Decisions")
			for _, traced := range []reply{decisions, full} {
				if diff := cmp.Diff(off, traced, ignore); diff != "" {
					t.Errorf("a trace changes the reply:\n%s", diff)
				}
			}
			if diff := cmp.Diff(decisions.Decisions, full.Decisions, cmpopts.IgnoreFields(wire.Decision{}, "Features")); diff != "" {
				t.Errorf("tracing features changes the decisions:\n%s", diff)
			}
			for i, d := range full.Decisions {
				if len(decisions.Decisions[i].Features) > 0 {
					t.Fatalf("decision %d has features that nobody asked for", i)
				}
				asked := d.Action != wire.Forced
				if asked != (d.Accept != nil) || asked != (len(d.Features) > 0) {
					t.Fatalf("decision %d, %s: pi(accept) %v, %d bytes of features", i, d.Action, d.Accept, len(d.Features))
				}
			}
		}
	})
}

func TestTemperatureZeroIsForcedArgMax(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		// Asked, this proxy would yield NaN.
		m := proxyModel(t, features, 1, overflow)
		llm := fakeLLM{seed: 6, endless: true}
		zero := 0.0
		got := mustDrive(t, gateOf(t, runnerOf(t, llm, m), wire.Request{Temperature: &zero, Explore: true}, GateOptions{}), llm, 20)
		for i, token := range got.Tokens {
			logits, _ := llm.pass(slices.Concat(prompt, got.Tokens[:i]))
			if best := int32(slices.Index(logits, slices.Max(logits))); token != best {
				t.Errorf("token %d is %d, arg max is %d", i, token, best)
			}
		}
		if s := got.Stats; s.Forced != 20 || s.Proposed != 20 || s.Forwards != 20 {
			t.Errorf("%+v, want 20 forced, proposed and forwards", s)
		}
	})
}

func TestCutoffs(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		llm := fakeLLM{seed: 8, endless: true}
		r := runnerOf(t, llm, proxyModel(t, features, 1, nil))
		decode := func(cutoff float64) reply {
			return mustDrive(t, gateOf(t, r, wire.Request{Cutoff: &cutoff, Trace: wire.TraceDecisions}, GateOptions{}), llm, 20)
		}
		lowest := decode(0)
		if lowest.Stats.Accepted == 0 {
			t.Error("cutoff 0 never asked the proxy")
		}
		for _, d := range lowest.Decisions {
			if d.Rank != 0 || d.Action == wire.Reject {
				t.Errorf("cutoff 0: %+v, want the top candidate", d)
			}
		}
		// A pi(accept) of exactly the cutoff accepts.
		first := lowest.Decisions[0]
		if first.Accept == nil {
			t.Fatalf("the first decision is %+v, want one by the proxy", first)
		}
		if d := decode(*first.Accept).Decisions[0]; d.Action != wire.Accept {
			t.Errorf("cutoff %v: %+v, want it accepted", *first.Accept, d)
		}
		highest := decode(1) // above every pi(accept) of this proxy
		if s := highest.Stats; s.Rejected == 0 || s.Accepted != 0 || s.Forced != 20 {
			t.Errorf("cutoff 1: %+v, want rejections down to 20 forced tokens", s)
		}
		for i, d := range highest.Decisions {
			last := i == len(highest.Decisions)-1 || highest.Decisions[i+1].Position > d.Position
			if last != (d.Action == wire.Forced) {
				t.Errorf("cutoff 1: decision %d is %+v, want %q at a position's last candidate only", i, d, wire.Forced)
			}
		}
	})
}

// overflow makes finite weights whose logits are Inf - Inf, or NaN on the way.
func overflow(m *proxy.Model) {
	for _, l := range m.Layers {
		for i := range l.Weight {
			l.Weight[i] = 3e38
		}
	}
}

func TestNaNOfTheProxyIsAnError(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		llm := fakeLLM{seed: 8, endless: true}
		all := 1.0
		req := wire.Request{TopP: &all}
		r := runnerOf(t, llm, proxyModel(t, features, 1, overflow))
		wantDriveError(t, gateOf(t, r, req, GateOptions{}), llm, 0, "proxy "+r.own.Digest+" yields NaN at position 0")

		// A hidden state that becomes NaN in the middle of a reply: at the third token's candidates for lookahead, in the
		// pass before them for prefix.
		length := len(prompt) + 2
		if features == proxy.Lookahead {
			length++
		}
		llm.alter = func(tokens []int32, _, hidden []float32) {
			if len(tokens) == length {
				hidden[3] = float32(math.NaN())
			}
		}
		r = runnerOf(t, llm, proxyModel(t, features, 1, nil))
		wantDriveError(t, gateOf(t, r, req, GateOptions{}), llm, 2, "NaN at position 2")
		req.Explore = true
		wantDriveError(t, gateOf(t, r, req, GateOptions{}), llm, 2, "NaN at position 2")
	})
}

// wantDriveError drives the gate into an error with these words, after some tokens.
func wantDriveError(t *testing.T, g *Gate, llm fakeLLM, tokens int, words ...string) {
	t.Helper()
	got, err := drive(g, llm, 20)
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want %q in it", err, w)
		}
	}
	if len(got.Tokens) != tokens {
		t.Errorf("%d tokens before the error, want %d", len(got.Tokens), tokens)
	}
}

func TestBadLogitsAreAnError(t *testing.T) {
	inf := math.Inf(1)
	for name, test := range map[string]struct {
		logits float64
		all    bool
		words  string
	}{
		"NaN":  {math.NaN(), false, "token 5 is NaN"},
		"+Inf": {inf, false, "token 5 is +Inf"},
		"none": {-inf, true, "no token to choose from"},
	} {
		t.Run(name, func(t *testing.T) {
			bothFeatures(t, func(t *testing.T, features proxy.Features) {
				llm := fakeLLM{seed: 8, endless: true, alter: func(tokens []int32, logits, _ []float32) {
					if len(tokens) < len(prompt)+3 {
						return
					}
					logits[5] = float32(test.logits)
					for i := range logits {
						if test.all {
							logits[i] = float32(test.logits)
						}
					}
				}}
				accept := 0.0 // so that the fourth pass is the fourth token's with both kinds
				g := gateOf(t, runnerOf(t, llm, proxyModel(t, features, 1, nil)), wire.Request{Cutoff: &accept}, GateOptions{})
				wantDriveError(t, g, llm, 3, "position 3", test.words)
				if n := g.Stats().Tokens(); n != 3 {
					t.Errorf("the counts say %d tokens, the reply has 3", n)
				}
			})
		})
	}
}

// TestNothingIsProposedAfterTheEnd: what the model says after the end-of-sequence token is of no interest.
func TestNothingIsProposedAfterTheEnd(t *testing.T) {
	llm := fakeLLM{seed: 8, alter: func(tokens []int32, logits, _ []float32) {
		if tokens[len(tokens)-1] == fakeEnd {
			logits[0] = float32(math.NaN())
		}
	}}
	grammar := &fakeGrammar{allow: func(position int, token int32) bool { return (token == fakeEnd) == (position == 4) }}
	got := mustDrive(t, gateOf(t, runnerOf(t, llm, proxyModel(t, proxy.Lookahead, 1, nil)), wire.Request{}, GateOptions{Grammar: grammar}), llm, 20)
	if len(got.Tokens) != 5 || got.Stats.Forwards != got.Stats.Proposed {
		t.Errorf("%d tokens, %+v, want 5 tokens and a forward a proposal", len(got.Tokens), got.Stats)
	}
}

func TestHiddenStateOfWrongWidthIsAnError(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		llm := fakeLLM{seed: 8}
		r := runnerOf(t, llm, proxyModel(t, features, 1, nil))
		logits, hidden := llm.pass(prompt)
		for _, wrong := range [][]float32{nil, hidden[:fakeWidth-1], append(slices.Clone(hidden), 0)} {
			_, err := gateOf(t, r, wire.Request{}, GateOptions{}).Step([]Pass{{logits, wrong}})
			want := fmt.Sprintf("hidden state: the proxy wants 8 values, the model gives %d", len(wrong))
			if err == nil || err.Error() != want {
				t.Errorf("%d values: error %v, want %q", len(wrong), err, want)
			}
		}
	})
}

func TestGrammarLeavingOneTokenForcesIt(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		m := proxyModel(t, features, 1, overflow) // asked, it would yield NaN
		llm := fakeLLM{seed: 8, endless: true}
		grammar := &fakeGrammar{allow: func(position int, token int32) bool { return int(token) == 20+position }}
		got := mustDrive(t, gateOf(t, runnerOf(t, llm, m), wire.Request{}, GateOptions{Grammar: grammar}), llm, 4)
		if diff := cmp.Diff([]int32{20, 21, 22, 23}, got.Tokens); diff != "" {
			t.Errorf("tokens (-want +got):\n%s", diff)
		}
		if got.Stats.Forced != 4 || got.Stats.Proposed != 4 {
			t.Errorf("%+v, want 4 proposed and forced", got.Stats)
		}
	})
}

// TestLogits: logprobs are of the logits that a token was chosen from, as the model gave them, before the grammar, and to
// the reply's last token.
func TestLogits(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		llm := fakeLLM{seed: 21}
		r := runnerOf(t, llm, proxyModel(t, features, 1, nil))
		cutoff, all := 0.7, 1.0
		for _, end := range []int{5, 100} {
			grammar := &fakeGrammar{allow: func(position int, token int32) bool {
				return (token == fakeEnd) == (position == end) && token%5 > 0
			}}
			g := gateOf(t, r, wire.Request{Cutoff: &cutoff, TopP: &all}, GateOptions{Logprobs: true, Grammar: grammar})
			got := mustDrive(t, g, llm, 20)
			if got.Stats.Rejected == 0 {
				t.Error("no rejection, so the passes and the tokens are the same")
			}
			if want := min(end+1, 20); len(got.Tokens) != want {
				t.Fatalf("%d tokens, want %d", len(got.Tokens), want)
			}
			for i, chosen := range got.Chosen {
				want, _ := llm.pass(slices.Concat(prompt, got.Tokens[:i]))
				if !slices.Equal(want, chosen) {
					t.Errorf("token %d of %d: not the logits that it was chosen from", i, len(got.Tokens))
				}
			}
		}
	})
}

// TestLargeHiddenStatesSaturate: float16 ends at 65504, and what is beyond it must not become Inf, hence NaN.
func TestLargeHiddenStatesSaturate(t *testing.T) {
	bothFeatures(t, func(t *testing.T, features proxy.Features) {
		large := []float32{65504, 65519, 65520, 1e30, float32(math.Inf(1)), -65520, float32(math.Inf(-1)), 1e-9}
		want := []float64{65504, 65504, 65504, 65504, 65504, -65504, -65504, 0}
		llm := fakeLLM{seed: 8, endless: true, alter: func(_ []int32, _, hidden []float32) { copy(hidden, large) }}
		s := slowDecoding{llm: llm, proxy: proxyModel(t, features, 1, nil), options: sampler.Options{Temperature: 1, TopP: 1}, cutoff: 0.5, limit: 8}
		seen := 0
		for _, d := range checkAgainstReference(t, runnerOf(t, llm, s.proxy), s, requestOf(s, wire.TraceFeatures)) {
			if d.Action == wire.Forced {
				continue
			}
			seen++
			if diff := cmp.Diff(want, parseHalves(d.Features)[:fakeWidth]); diff != "" {
				t.Fatalf("features (-want +got):\n%s", diff)
			}
		}
		if seen == 0 {
			t.Error("the proxy was never asked")
		}
	})
}

// TestRoundIsFloat16 checks the rounding, and the bytes of a trace, on every float16 and between any two neighbours.
func TestRoundIsFloat16(t *testing.T) {
	var values []float32
	for bits := range 0x7c00 {
		x := parseHalves([]byte{byte(bits), byte(bits >> 8)})[0]
		next := x + math.Ldexp(1, max(-14, int(math.Floor(math.Log2(max(x, 1e-9)))))-10)
		for _, v := range []float64{x, x + (next-x)/4, (x + next) / 2, x + (next-x)*3/4} {
			values = append(values, float32(v), float32(-v))
		}
	}
	got := make([]float32, len(values))
	round(got, values)
	want := slowHalves(values)
	sent := parseHalves(halves(got))
	for i := range values {
		if float64(got[i]) != want[i] || sent[i] != want[i] {
			t.Fatalf("%v: rounded to %v, sent as %v, want %v", values[i], got[i], sent[i], want[i])
		}
	}
}

// TestFailedEmbeddingIsAnError: a row that could not be read must neither decide anything nor leave anything wrong
// behind for other requests, which share the proxy's cache.
func TestFailedEmbeddingIsAnError(t *testing.T) {
	llm := fakeLLM{seed: 8, endless: true}
	m := proxyModel(t, proxy.Prefix, 1, nil)
	want := mustDrive(t, gateOf(t, runnerOf(t, llm, m), wire.Request{}, GateOptions{}), llm, 20)

	broken := errors.New("disk on fire")
	host := llm.host()
	read := host.Embedding
	host.Embedding = func(int32, []float32) error { return broken }
	_, path := storeProxy(t, m)
	r, err := NewRunner(host, path)
	if err != nil {
		t.Fatal(err)
	}
	accept := 0.0 // whatever pi(accept) is, if it is a number
	for _, trace := range []string{wire.TraceOff, wire.TraceFeatures, wire.TraceOff} {
		got, err := drive(gateOf(t, r, wire.Request{Cutoff: &accept, Trace: trace}, GateOptions{}), llm, 20)
		if !errors.Is(err, broken) || len(got.Tokens) > 0 {
			t.Errorf("trace %q: error %v after %d tokens, want %v at once", trace, err, len(got.Tokens), broken)
		}
	}
	r.host.Embedding = read
	if diff := cmp.Diff(want, mustDrive(t, gateOf(t, r, wire.Request{}, GateOptions{}), llm, 20)); diff != "" {
		t.Errorf("once the file can be read again (-want +got):\n%s", diff)
	}
}

// TestConcurrentGates: gates of many requests at once, of the runner's own proxy and of hot-loaded ones, say what they would
// have said alone, also where the registry drops proxies that gates still use.
func TestConcurrentGates(t *testing.T) {
	llm := fakeLLM{seed: 8, endless: true}
	runner := runnerOf(t, llm, proxyModel(t, proxy.Prefix, 1, nil))
	requests := []wire.Request{{}}
	for i, f := range []proxy.Features{proxy.Lookahead, proxy.Prefix, proxy.Prefix} {
		digest, path := storeProxy(t, proxyModel(t, f, uint64(10+i), nil))
		requests = append(requests, wire.Request{Digest: digest, Path: path})
	}
	decode := func(r *Runner, i int) (reply, error) {
		req := requests[i%len(requests)]
		req.Explore = i%8 < 4
		req.Trace = []string{wire.TraceOff, wire.TraceDecisions, wire.TraceFeatures}[i%3]
		g, err := r.Gate(&req, GateOptions{Seed: i})
		if err != nil {
			return reply{}, err
		}
		return drive(g, llm, 50)
	}
	alone := runnerOf(t, llm, proxyModel(t, proxy.Prefix, 1, nil))
	for _, capacity := range []int64{DefaultRegistryBytes, 1} {
		runner.registry = NewRegistry(capacity)
		var got [32]reply
		var errs [32]error
		together(len(got), func(i int) { got[i], errs[i] = decode(runner, i) })
		for i := range got {
			want, err := decode(alone, i)
			if err != nil || errs[i] != nil {
				t.Fatalf("gate %d: %v together, %v alone", i, errs[i], err)
			}
			if diff := cmp.Diff(want, got[i]); diff != "" {
				t.Errorf("registry of %d bytes, gate %d (-alone +together):\n%s", capacity, i, diff)
			}
		}
	}
}

// TestStepAllocatesNothing: a prefix token without a trace, once the pool and the cache have what they need.
func TestStepAllocatesNothing(t *testing.T) {
	llm := fakeLLM{seed: 8, endless: true}
	r := runnerOf(t, llm, proxyModel(t, proxy.Prefix, 1, nil))
	logits, hidden := llm.pass(prompt)
	passes := []Pass{{logits, hidden}}
	never := 1.0
	for name, req := range map[string]wire.Request{
		"served":    {},
		"walks far": {Cutoff: &never},
		"exploring": {Explore: true},
	} {
		g := gateOf(t, r, req, GateOptions{Seed: 1})
		step := func() {
			if _, err := g.Step(passes); err != nil {
				t.Fatal(err)
			}
		}
		for range 50 {
			step()
		}
		if n := testing.AllocsPerRun(100, step); n != 0 {
			t.Errorf("%s: %v allocations a token, want 0", name, n)
		}
		if g.Stats().Proposed == g.Stats().Forced {
			t.Errorf("%s: the proxy was never asked", name)
		}
	}
}
