package learn

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// stated is aReply as a proxy of that kind traces it, where the state at token n is n+1, and 0 before the first.
func stated(features proxy.Features) env.Reply {
	r := aReply()
	r.DoneReason = "stop"
	r.Proxy = &wire.Stats{Features: string(features)}
	r.States = &wire.States{Mean: wire.Vector{2.5}, Last: wire.Vector{4}, Tokens: 4}
	for i := range r.Decisions {
		d := &r.Decisions[i]
		if d.Features == nil {
			continue
		}
		state := float64(d.Position + 1)
		if features == proxy.Prefix {
			state = float64(d.Position)
		}
		d.Features = decided(0, "", "", state).Features
		if d.Action == wire.Reject && features == proxy.Lookahead {
			d.Features = decided(0, "", "", 99).Features // the state at a token that the reply did not get
		}
		if features == proxy.Prefix {
			d.Features = append(d.Features, decided(0, "", "", 77).Features...) // the embedding
		}
	}
	return r
}

func TestStates(t *testing.T) {
	for features, want := range map[proxy.Features][][]float32{
		// Asked at positions 1 and 3, of five.
		proxy.Prefix:    {{1}, nil, {3}, nil, nil},
		proxy.Lookahead: {nil, {2}, nil, {4}, nil},
	} {
		r := stated(features)
		got := States(&r)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: −want +got\n%s", features, d)
		}
		if len(got) != len(Pieces(&r)) {
			t.Errorf("%s: %d states for %d pieces", features, len(got), len(Pieces(&r)))
		}
	}
	ended := stated(proxy.Lookahead)
	last := &ended.Decisions[len(ended.Decisions)-1]
	*last = decided(4, "<|im_end|>", wire.Accept, 0.5)
	if got := States(&ended); got[4] != nil {
		t.Errorf("the end-of-sequence token has the state %v", got[4])
	}
	ended.DoneReason = "length"
	if got := States(&ended); got[4] == nil {
		t.Error("the last token of a reply that was cut has no state")
	}
}

// A head's reward is that of the mean state which came with the reply, however little of it the trace shows.
func TestHeadPaysWhatTheReplyScores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reward.gguf")
	h := &head.Head{Layers: []proxy.Linear{{In: 1, Out: 1, Weight: []float32{2}, Bias: []float32{-1}}}, LogitScale: 1}
	if err := h.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	r, err := reward.New(reward.Spec{Type: reward.TypeHead, Head: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, features := range []proxy.Features{proxy.Prefix, proxy.Lookahead} {
		reply := stated(features)
		for _, dense := range []bool{false, true} {
			p := Payer{Reward: r, Dense: dense, Gamma: 1}
			paid, err := p.Pay(t.Context(), []env.Reply{reply})
			if err != nil {
				t.Fatal(err)
			}
			if got := paid.Episodes[0].Return; got != 4 { // 2 · 2.5 − 1
				t.Errorf("%s, dense %v: return %g, want 4", features, dense, got)
			}
		}
		dense, rest, err := (Payer{Reward: r, Dense: true, Gamma: 1}).spread(&reply, 4)
		if err != nil {
			t.Fatal(err)
		}
		// The means that the trace shows, 1 and 2 or 2 and 3, score 1 and 3 or 3 and 5; the whole scores 4.
		want := map[proxy.Features][]float64{proxy.Prefix: {1, 0, 2, 0, 1}, proxy.Lookahead: {0, 3, 0, 2, -1}}[features]
		if d := cmp.Diff(want, dense); d != "" || rest != 0 {
			t.Errorf("%s: rest %g, dense −want +got\n%s", features, rest, d)
		}
		reply.States = nil
		if _, err := (Payer{Reward: r, Dense: true, Gamma: 1}).Pay(t.Context(), []env.Reply{reply}); err == nil {
			t.Errorf("%s: a reply without states: no error", features)
		}
	}
}
