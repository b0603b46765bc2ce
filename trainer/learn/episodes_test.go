package learn

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/x448/float16"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// decided is a traced decision; p is pi(accept), negative for a forced one.
func decided(position int, text, action string, p float64) wire.Decision {
	d := wire.Decision{Position: position, Text: text, Action: action}
	if p >= 0 {
		d.Accept = &p
		d.Features = binary.LittleEndian.AppendUint16(nil, float16.Fromfloat32(float32(p)).Bits())
	}
	return d
}

// aReply says "I am my end" in four tokens and ends: one rejection, two decisions to accept, three forced tokens.
func aReply() env.Reply {
	return env.Reply{Text: "I am my end", Decisions: []wire.Decision{
		decided(0, "I", wire.Forced, -1),
		decided(1, " was", wire.Reject, 0.25),
		decided(1, " am", wire.Accept, 0.5),
		decided(2, " my", wire.Forced, -1),
		decided(3, " end", wire.Accept, 0.75),
		decided(4, "<|im_end|>", wire.Forced, -1),
	}}
}

func firstPerson(t *testing.T) reward.Reward {
	t.Helper()
	r, err := reward.New(reward.Spec{Type: reward.TypeRegexp, Pattern: reward.FirstPerson, PerMatch: -1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEpisodes(t *testing.T) {
	for name, test := range map[string]struct {
		payer Payer
		want  []float64 // the transitions' rewards
	}{
		// "I" comes before the first decision and is nobody's doing; "my" is forced after " am" was accepted.
		"dense":                {Payer{Dense: true, Gamma: 1}, []float64{0, -1, 0}},
		"dense, discounted":    {Payer{Dense: true, Gamma: 0.5}, []float64{0, -0.5, 0}},
		"dense, rejections":    {Payer{Dense: true, Gamma: 1, RejectionCost: 0.125}, []float64{-0.125, -1, 0}},
		"at the end":           {Payer{Gamma: 1}, []float64{0, 0, -2}},
		"at the end, forced 1": {Payer{Gamma: 0.5}, []float64{0, 0, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			test.payer.Reward = firstPerson(t)
			got, err := test.payer.Episodes(context.Background(), []env.Reply{aReply()})
			if err != nil {
				t.Fatal(err)
			}
			want := []rl.Episode{{Return: -2, Tokens: 5, Transitions: []rl.Transition{
				{Features: []float32{0.25}, Action: sampler.Reject, LogProb: math.Log(0.75), Token: 1, Reward: test.want[0]},
				{Features: []float32{0.5}, Action: sampler.Accept, LogProb: math.Log(0.5), Token: 1, Reward: test.want[1]},
				{Features: []float32{0.75}, Action: sampler.Accept, LogProb: math.Log(0.75), Token: 3, Reward: test.want[2]},
			}}}
			if d := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-12)); d != "" {
				t.Errorf("−want +got\n%s", d)
			}
		})
	}
}

// A token whose bytes are no character alone arrives as U+FFFD: the pieces do not make up the reply, its reward stays whole.
func TestBrokenPiecesKeepTheReward(t *testing.T) {
	r := env.Reply{Text: "é my", Decisions: []wire.Decision{
		decided(0, "\uFFFD", wire.Accept, 0.5), decided(1, "\uFFFD", wire.Forced, -1), decided(2, " my", wire.Forced, -1),
	}}
	got, err := Payer{Reward: firstPerson(t), Dense: true, Gamma: 1}.Episodes(context.Background(), []env.Reply{r})
	if err != nil {
		t.Fatal(err)
	}
	if sum := got[0].Transitions[0].Reward; sum != -1 || got[0].Return != -1 {
		t.Errorf("rewards add up to %g, return %g, want -1", sum, got[0].Return)
	}
}

func TestTraceWithoutFeaturesIsAnError(t *testing.T) {
	r := aReply()
	r.Decisions[1].Features = nil
	if _, err := (Payer{Reward: firstPerson(t), Gamma: 1}).Episodes(context.Background(), []env.Reply{r}); err == nil {
		t.Error("no error")
	}
}

type failing struct{}

func (failing) Score(context.Context, []reward.Sample) ([]float64, error) { return nil, errFailing }

var errFailing = errors.New("out of order")

func TestFailingRewardIsAnError(t *testing.T) {
	if _, err := (Payer{Reward: failing{}}).Episodes(context.Background(), []env.Reply{aReply()}); !errors.Is(err, errFailing) {
		t.Errorf("got %v", err)
	}
}

// Episodes explore with seeds of their own that a JSON number carries exactly.
func TestSeeds(t *testing.T) {
	seen := map[int]bool{}
	for run := range uint64(3) {
		for episode := range 1000 {
			s := seed(run, episode)
			if s < 0 || seen[s] {
				t.Fatalf("run %d, episode %d: seed %d is negative or was there before", run, episode, s)
			}
			seen[s] = true
		}
	}
}
