package learn

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/x448/float16"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
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
	return env.Reply{Prompt: prompts.Prompt{ID: "p"}, Proxy: &wire.Stats{Digest: "sha256:p"}, Text: "I am my end", Decisions: []wire.Decision{
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
		// The reply ends at position 4, the decisions are at 1, 1 and 3.
		"posted back":         {Payer{Gamma: 0.5, PostBack: true, RejectionCost: 0.5}, []float64{-0.25 - 0.5, -0.25, -1}},
		"dense is not posted": {Payer{Dense: true, Gamma: 1, PostBack: true}, []float64{0, -1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			test.payer.Reward = firstPerson(t)
			got, err := test.payer.Pay(context.Background(), []env.Reply{aReply()})
			if err != nil {
				t.Fatal(err)
			}
			want := []rl.Episode{{Return: -2, Tokens: 5, Prompt: "p", Policy: "sha256:p", Transitions: []rl.Transition{
				{Features: []float32{0.25}, Action: sampler.Reject, LogProb: math.Log(0.75), Token: 1, Reward: test.want[0]},
				{Features: []float32{0.5}, Action: sampler.Accept, LogProb: math.Log(0.5), Token: 1, Reward: test.want[1]},
				{Features: []float32{0.75}, Action: sampler.Accept, LogProb: math.Log(0.75), Token: 3, Reward: test.want[2]},
			}}}
			if d := cmp.Diff(want, got.Episodes, cmpopts.EquateApprox(0, 1e-12)); d != "" {
				t.Errorf("−want +got\n%s", d)
			}
		})
	}
}

// The KL term by hand: at position 0 the candidates have .5 and .3 of the pool, of which the first is rejected, so that the
// second has .3 of the .5 that are left; at position 1 the candidate has all but nothing.
func TestKLTerm(t *testing.T) {
	at := func(d wire.Decision, prob float64) wire.Decision { d.Prob = prob; return d }
	r := env.Reply{Text: "a b", Decisions: []wire.Decision{
		at(decided(0, "x", wire.Reject, 0.75), 0.5), at(decided(0, "a", wire.Accept, 0.5), 0.3),
		at(decided(1, "y", wire.Reject, 0.5), 1-1e-12), at(decided(1, " b", wire.Forced, -1), 1e-12),
	}}
	paid, err := Payer{Reward: firstPerson(t), Gamma: 1, KLCoef: 2, RejectionCost: 0.25}.Pay(context.Background(), []env.Reply{r})
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{
		-0.25 - 2*math.Log(0.25/0.5),
		-2 * math.Log(0.5/0.6),
		-0.25 - 2*math.Log(0.5/1e-6), // not 1e-12
	}
	sum := 0.0
	for i, tr := range paid.Episodes[0].Transitions {
		if math.Abs(tr.Reward-want[i]) > 1e-9 {
			t.Errorf("decision %d is paid %v, want %v", i, tr.Reward, want[i])
		}
		sum -= want[i]
	}
	if math.Abs(paid.Charged[0]-sum) > 1e-9 {
		t.Errorf("charged %v, want %v", paid.Charged[0], sum)
	}
}

// On average a decision is paid −β times the divergence of its policy from the LLM's, whatever was rejected before.
func TestKLTermIsTheKL(t *testing.T) {
	const beta, pi, q = 0.5, 0.7, 0.4 / 0.6
	mean := 0.0
	for action, p := range map[string]float64{wire.Accept: pi, wire.Reject: 1 - pi} {
		llm := conditional{position: -1}
		llm.accept(wire.Decision{Action: wire.Reject, Prob: 0.4})
		d := wire.Decision{Action: action, Prob: 0.4, Accept: new(pi), Features: make([]byte, 2)}
		tr, err := transition(d)
		if err != nil {
			t.Fatal(err)
		}
		mean -= p * Payer{KLCoef: beta}.cost(&tr, llm.accept(d))
	}
	if want := -beta * (pi*math.Log(pi/q) + (1-pi)*math.Log((1-pi)/(1-q))); math.Abs(mean-want) > 1e-12 {
		t.Errorf("paid %v on average, want %v", mean, want)
	}
}

// A token whose bytes are no character alone arrives as U+FFFD: the pieces do not make up the reply, its reward stays whole.
func TestBrokenPiecesKeepTheReward(t *testing.T) {
	r := env.Reply{Text: "é my", Decisions: []wire.Decision{
		decided(0, "\uFFFD", wire.Accept, 0.5), decided(1, "\uFFFD", wire.Forced, -1), decided(2, " my", wire.Forced, -1),
	}}
	got, err := Payer{Reward: firstPerson(t), Dense: true, Gamma: 1}.Pay(context.Background(), []env.Reply{r})
	if err != nil {
		t.Fatal(err)
	}
	if e := got.Episodes[0]; e.Transitions[0].Reward != -1 || e.Return != -1 {
		t.Errorf("rewards add up to %g, return %g, want -1", e.Transitions[0].Reward, e.Return)
	}
}

func TestTraceWithoutFeaturesIsAnError(t *testing.T) {
	r := aReply()
	r.Decisions[1].Features = nil
	if _, err := (Payer{Reward: firstPerson(t), Gamma: 1}).Pay(context.Background(), []env.Reply{r}); err == nil {
		t.Error("no error")
	}
}

type failing struct{}

func (failing) Score(context.Context, []reward.Sample) ([]float64, error) { return nil, errFailing }

var errFailing = errors.New("out of order")

func TestFailingRewardIsAnError(t *testing.T) {
	if _, err := (Payer{Reward: failing{}, MaxDropped: 1}).Pay(context.Background(), []env.Reply{aReply()}); !errors.Is(err, errFailing) {
		t.Errorf("got %v", err)
	}
}

// picky is a reward server that gives 10 for a reply, and null for one that says "x".
func picky(t *testing.T) reward.Spec {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Query []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		rewards := make([]*float64, len(in.Query))
		for i, q := range in.Query {
			if !strings.Contains(q, "x") {
				rewards[i] = new(10.0)
			}
		}
		json.NewEncoder(w).Encode(map[string]any{"rewards": rewards})
	}))
	t.Cleanup(s.Close)
	return reward.Spec{Type: reward.TypeHTTP, URL: s.URL}
}

// mixed has a part that exists on prefixes and one that does not.
func mixed(t *testing.T) reward.Reward {
	t.Helper()
	r, err := reward.New(reward.Spec{Type: reward.TypeSum, Terms: []reward.Spec{
		{Name: "person", Type: reward.TypeRegexp, Pattern: reward.FirstPerson, PerMatch: -1, Weight: new(2.0)}, picky(t),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func namedReply(id, text string) env.Reply {
	r := aReply()
	r.Prompt.ID, r.Prompt.Text = id, "to "+id
	if text != "" {
		r.Text = text
	}
	return r
}

// What there is on prefixes is paid where it arises, and the rest with the last token.
func TestDensePart(t *testing.T) {
	got, err := Payer{Reward: mixed(t), Dense: true, Gamma: 1}.Pay(context.Background(), []env.Reply{aReply()})
	if err != nil {
		t.Fatal(err)
	}
	var rewards []float64
	for _, tr := range got.Episodes[0].Transitions {
		rewards = append(rewards, tr.Reward)
	}
	// −2 of "I" are nobody's, −2 of "my" are the second decision's, and 10 come with the end.
	if d := cmp.Diff([]float64{0, -2, 10}, rewards); d != "" || got.Episodes[0].Return != 6 {
		t.Errorf("return %v, −want +got\n%s", got.Episodes[0].Return, d)
	}
}

// A reply that the reward fails on is no episode, and never one of reward 0.
func TestDropped(t *testing.T) {
	replies := []env.Reply{namedReply("a", ""), namedReply("b", "x"), namedReply("c", "Yes, mine"), namedReply("d", "")}
	payer := Payer{Reward: mixed(t), Gamma: 1, MaxDropped: 0.25}
	got, err := payer.Pay(context.Background(), replies)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	var returns []float64
	for i, r := range got.Replies {
		ids, returns = append(ids, r.Prompt.ID), append(returns, got.Episodes[i].Return)
	}
	if d := cmp.Diff([]string{"a", "c", "d"}, ids); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	if d := cmp.Diff([]float64{6, 8, 6}, returns); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	if d := cmp.Diff([]reward.Term{{Name: "person", Scores: []float64{-2, -1, -2}}, {Name: "http", Scores: []float64{10, 10, 10}}}, got.Terms); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	if len(got.Dropped) != 1 || got.Dropped[0].Reply.Prompt.ID != "b" || !strings.HasPrefix(got.Dropped[0].Err.Error(), "terms[1]: ") {
		t.Errorf("dropped: %+v", got.Dropped)
	}

	payer.MaxDropped = 0.2
	if _, err := payer.Pay(context.Background(), replies); err == nil || !strings.Contains(err.Error(), `1 of 4 replies could not be judged, more than reward_max_dropped 0.2 allows; the first is to "to b": terms[1]: `) {
		t.Errorf("one too many: %v", err)
	}
	payer.MaxDropped = 1
	if got, err := payer.Pay(context.Background(), replies[1:2]); err != nil || len(got.Episodes) != 0 || len(got.Dropped) != 1 {
		t.Errorf("all dropped: %+v, %v", got, err)
	}
}

// The metrics of rewards have TRL's names and formulas, the files say what was dropped and why.
func TestRewardMetricsAndFiles(t *testing.T) {
	paid, err := Payer{Reward: mixed(t), Gamma: 1, MaxDropped: 1}.Pay(context.Background(),
		[]env.Reply{namedReply("a", ""), namedReply("b", "x"), namedReply("c", "Yes, mine")})
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]float64{}
	rolloutMetrics(m, paid, rolled{rolling: time.Second, learning: time.Second, took: 2 * time.Second})
	for name, want := range map[string]float64{
		"reward": 7, "reward_std": math.Sqrt2, "charts/episodic_return": 7,
		"rewards/person/mean": -1.5, "rewards/person/std": math.Sqrt(.5), "rewards/http/mean": 10, "rewards/http/std": 0,
	} {
		if got, ok := m[name]; !ok || math.Abs(got-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}

	one := map[string]float64{}
	rolloutMetrics(one, Paid{Replies: paid.Replies[:1], Episodes: paid.Episodes[:1]}, rolled{rolling: time.Second, took: time.Second})
	if _, ok := one["reward_std"]; ok || one["reward"] != 6 {
		t.Errorf("of one reply: %v", one)
	}

	folder, err := run.Open(filepath.Join(t.TempDir(), "run"), []byte("name: x\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	l := Loop{Folder: folder, state: State{Episodes: 64}}
	if err := l.sample(paid); err != nil {
		t.Fatal(err)
	}
	samples, err := run.ReadJSON[sampleRecord](folder.Path(SamplesFile))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]sampleRecord{
		{Episodes: 64, Prompt: "to a", Reply: "I am my end", Reward: 6, Rewards: map[string]float64{"person": -2, "http": 10}},
		{Episodes: 64, Prompt: "to c", Reply: "Yes, mine", Reward: 8, Rewards: map[string]float64{"person": -1, "http": 10}},
	}, samples); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	dropped, err := run.ReadJSON[droppedRecord](folder.Path(DroppedFile))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]droppedRecord{{Episodes: 64, ID: "b", Prompt: "to b", Reply: "x", Error: "terms[1]: the server gave null for it"}}, dropped); d != "" {
		t.Errorf("−want +got\n%s", d)
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
