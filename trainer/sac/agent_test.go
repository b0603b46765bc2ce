package sac

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl/rltest"
)

func smallOptions() Options {
	o := DefaultOptions()
	o.HiddenSizes, o.MinibatchSize, o.LearningStarts, o.BufferBytes = []int{16}, 32, 60, 1<<18
	return o
}

func newTestAgent(t testing.TB, o Options, path string) *Agent {
	t.Helper()
	a, err := New(rltest.TokensInputs, o, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// addAndUpdate plays n episodes and takes the updates that they make due.
func addAndUpdate(t testing.TB, a *Agent, rng *rand.Rand, n int) Metrics {
	t.Helper()
	if err := a.Add(rltest.Tokens{}.Play(a.Accept, rng, n)); err != nil {
		t.Fatal(err)
	}
	m, err := a.Update(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The optimum of a token environment, with the published entropy. As in a run, the
// policy that counts is the best by evaluation.
func TestLearnsTheTokens(t *testing.T) {
	optimum := rltest.Tokens{}.Optimum()
	learn := func(seed uint64, rate float64) (best float64) {
		o := smallOptions()
		o.HiddenSizes, o.MinibatchSize, o.Seed, o.LearningStarts = []int{64}, 128, seed, 400
		o.LearningRate, o.CriticLearningRate, o.Tau = rate, rate, .02
		o.UpdatesPerEpisode, o.Alpha = 4, .2
		a, rng := newTestAgent(t, o, ""), rand.New(rand.NewPCG(seed, 78))
		for range 24 {
			addAndUpdate(t, a, rng, 25)
			if best = max(best, rltest.Tokens{}.Value(a.Accept)); best > .97*optimum {
				break
			}
		}
		return best
	}
	for _, seed := range []uint64{1, 2, 3} {
		if got := learn(seed, 3e-3); got < .97*optimum {
			t.Errorf("seed %d: a reply earns %.3f after 600, the optimum is %.3f", seed, got, optimum)
		} else {
			t.Logf("seed %d: %.4f of %.4f", seed, got, optimum)
		}
	}
	if got := learn(1, 0); got > optimum/2 {
		t.Errorf("a reply earns %.3f with learning rate 0, the optimum is %.3f: the environment gives itself away", got, optimum)
	}
}

func TestUntrainedAgent(t *testing.T) {
	a, rng := newTestAgent(t, smallOptions(), ""), rand.New(rand.NewPCG(1, 1))
	for range 20 {
		f := make([]float32, rltest.TokensInputs)
		for i := range f {
			f[i] = float32(3 * rng.NormFloat64())
		}
		if got := a.Accept(f); math.Abs(got-.8) > .02 {
			t.Errorf("pi(accept) is %v at first, want about 0.8", got)
		}
		accept, reject := a.Q(f)
		for _, q := range slices.Concat(accept[:], reject[:]) {
			if math.Abs(q) > .05 {
				t.Errorf("the critics start with %v, want about 0", q)
			}
		}
	}
}

// Entropy comes to its target, from above and from below.
func TestTemperatureIsTuned(t *testing.T) {
	for _, tc := range []struct{ scale, initial float64 }{{.9, .97}, {.4, .5}} {
		o := smallOptions()
		o.TargetEntropyScale, o.InitialAccept = tc.scale, tc.initial
		o.LearningRate, o.CriticLearningRate, o.UpdatesPerEpisode = 3e-3, 1e-2, 4
		a, rng := newTestAgent(t, o, ""), rand.New(rand.NewPCG(9, 9))
		var m Metrics
		for range 30 {
			m = addAndUpdate(t, a, rng, 25)
		}
		if want := tc.scale * math.Ln2; math.Abs(m.Entropy-want) > .12 {
			t.Errorf("target %.3f nats from pi(accept) %v: entropy is %.3f, alpha %.3f", want, tc.initial, m.Entropy, m.Alpha)
		}
		o.Autotune = false
		b := newTestAgent(t, o, "")
		if m := addAndUpdate(t, b, rng, 25); math.Abs(m.Alpha-o.Alpha) > 1e-7 {
			t.Errorf("without tuning alpha went from %v to %v", o.Alpha, m.Alpha)
		}
	}
}

func TestUpdatesAreDue(t *testing.T) {
	o := smallOptions()
	o.UpdatesPerEpisode = 3
	a, rng := newTestAgent(t, o, ""), rand.New(rand.NewPCG(1, 1))
	env := rltest.Tokens{}
	if err := a.Add(env.Play(a.Accept, rng, 5)); err != nil { // 30 decisions
		t.Fatal(err)
	}
	if a.Due() != 0 {
		t.Errorf("%d updates due before learning starts", a.Due())
	}
	for i, want := range []int64{15, 30} {
		if err := a.Add(env.Play(a.Accept, rng, 5)); err != nil {
			t.Fatal(err)
		}
		if a.Due() != want {
			t.Errorf("add %d: %d updates due, want %d", i, a.Due(), want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := a.Update(ctx); !errors.Is(err, context.Canceled) || a.Updates != 0 {
		t.Errorf("cancelled: error %v after %d updates", err, a.Updates)
	}
	m, err := a.Update(context.Background())
	if err != nil || m.Updates != 30 || a.Updates != 30 || a.Due() != 0 {
		t.Errorf("%d updates, %d in all, %d due, error %v; want 30, 30, 0", m.Updates, a.Updates, a.Due(), err)
	}
	if m, err = a.Update(context.Background()); err != nil || m.Updates != 0 {
		t.Errorf("nothing due: %d updates, error %v", m.Updates, err)
	}
	for name, v := range m.Map() {
		if math.IsNaN(v) {
			t.Errorf("without updates %s is NaN", name)
		}
	}
}

func TestLearningRateZeroKeepsWeights(t *testing.T) {
	o := smallOptions()
	o.LearningRate, o.CriticLearningRate = 0, 0
	a, rng := newTestAgent(t, o, ""), rand.New(rand.NewPCG(3, 3))
	before := weightsOf(a)
	addAndUpdate(t, a, rng, 30)
	if diff := cmp.Diff(before, weightsOf(a)); diff != "" {
		t.Errorf("weights changed:\n%.300s", diff)
	}
}

func weightsOf(a *Agent) [][]float32 {
	var w [][]float32
	for _, n := range append(a.networks(), a.temperature.log) {
		for _, p := range n.Params {
			w = append(w, slices.Clone(p.Values))
		}
	}
	return w
}

func TestProxyIsTheAgent(t *testing.T) {
	a, rng := newTestAgent(t, smallOptions(), ""), rand.New(rand.NewPCG(3, 3))
	addAndUpdate(t, a, rng, 40)
	c := proxy.Config{
		Features: proxy.Lookahead, EmbeddingLength: rltest.TokensInputs, Cutoff: .5, Pool: sampler.DefaultOptions(),
		Base: proxy.Base{Architecture: "llama", EmbeddingLength: rltest.TokensInputs, VocabSize: 9},
	}
	m, err := a.Proxy(c)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		f, x := make([]float32, rltest.TokensInputs), make([]float64, rltest.TokensInputs)
		for i := range f {
			f[i] = float32(rng.NormFloat64())
			x[i] = float64(f[i])
		}
		if got, want := m.Accept(x), a.Accept(f); math.Abs(got-want) > 1e-6 {
			t.Errorf("the proxy accepts with %v, the agent with %v", got, want)
		}
	}
	c.EmbeddingLength++
	if _, err := a.Proxy(c); err == nil || !strings.Contains(err.Error(), "13 values") {
		t.Errorf("another length: error %v", err)
	}
}

// A run of twelve batches equals one of five that is saved with updates due, ends, and
// goes on in another agent from its state and its file.
func TestStateContinuesBitEqual(t *testing.T) {
	for _, spill := range []bool{false, true} {
		o := smallOptions()
		o.BufferSpill, o.BufferSize = spill, 500 // wraps
		// Episodes are played by a fixed policy, so that both see the same ones.
		batches := make([][]rl.Episode, 12)
		rng := rand.New(rand.NewPCG(5, 5))
		for i := range batches {
			batches[i] = rltest.Tokens{}.Play(func([]float32) float64 { return .7 }, rng, 10)
		}
		path := filepath.Join(t.TempDir(), "buffer")
		a, b := newTestAgent(t, o, filepath.Join(t.TempDir(), "whole")), newTestAgent(t, o, path)
		step := func(a *Agent, batch []rl.Episode) Metrics {
			m, err := a.Update(context.Background())
			if err == nil {
				err = a.Add(batch)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.State(); err != nil { // a checkpoint after each
				t.Fatal(err)
			}
			return m
		}
		for i, batch := range batches {
			if i == 5 {
				b = continued(t, b, o, path)
			}
			if diff := cmp.Diff(step(a, batch), step(b, batch)); diff != "" {
				t.Errorf("spill %v, batch %d (-whole +resumed):\n%s", spill, i, diff)
			}
		}
		if diff := cmp.Diff(weightsOf(a), weightsOf(b)); diff != "" {
			t.Errorf("spill %v: weights differ:\n%.300s", spill, diff)
		}
		if a.Updates != 1100 { // of 10 episodes' 10 updates, for all batches but the last
			t.Errorf("%d updates, want 1100", a.Updates)
		}
	}
}

// saved is the agent's state after gob.
func saved(t testing.TB, a *Agent) State {
	t.Helper()
	s, err := a.State()
	if err != nil {
		t.Fatal(err)
	}
	return nntest.ThroughFile(t, s)
}

// continued gives a's state to a new agent on the same file.
func continued(t *testing.T, a *Agent, o Options, path string) *Agent {
	t.Helper()
	s := saved(t, a)
	a.Close()
	b := newTestAgent(t, o, path)
	if err := b.Restore(s); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRestoreRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "buffer")
	for _, tc := range []struct {
		name   string
		change func(*State)
		want   string
	}{
		{"version", func(s *State) { s.Version = 1 }, "version 1"},
		{"hidden", func(s *State) { s.Options.HiddenSizes = []int{17} }, "hidden sizes"},
		{"critics", func(s *State) { s.Critics = s.Critics[1:] }, "1 critics"},
		{"tensors", func(s *State) { s.Critics[1].Tensors = s.Critics[1].Tensors[1:] }, "critic 2: the state has 3 tensors"},
		{"target", func(s *State) { s.Targets[0].Tensors[1].Moment1 = []float32{1} }, "target 1: 0.bias of the state has 1 values, want 0"},
		{"nan", func(s *State) { s.Actor.Tensors[0].Values[3] = float32(math.NaN()) }, "0.weight of the state is NaN at index 3"},
		{"temperature", func(s *State) { s.Temperature.Tensors = nil }, "temperature"},
		{"due", func(s *State) { s.Due = -1 }, "-1 updates due"},
		{"buffer", func(s *State) { s.Buffer.Total, s.Buffer.Kept = 5, 5 }, "damaged"},
	} {
		a := newTestAgent(t, smallOptions(), path)
		s := saved(t, a)
		tc.change(&s)
		before := weightsOf(a)
		if err := a.Restore(s); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		if diff := cmp.Diff(before, weightsOf(a)); diff != "" {
			t.Errorf("%s: the agent changed", tc.name)
		}
	}
}

// The policy alone can be had where the decisions are not.
func TestPolicyFromState(t *testing.T) {
	o := smallOptions()
	o.BufferSpill = true
	a, rng := newTestAgent(t, o, filepath.Join(t.TempDir(), "buffer")), rand.New(rand.NewPCG(1, 1))
	addAndUpdate(t, a, rng, 20)
	s := saved(t, a)
	if err := newTestAgent(t, smallOptions(), "").Restore(s); err == nil {
		t.Error("restored without a file")
	}
	b, err := PolicyFromState(s)
	if err != nil {
		t.Fatal(err)
	}
	f := make([]float32, rltest.TokensInputs)
	if a.Accept(f) != b.Accept(f) {
		t.Errorf("accepts with %v, want %v", b.Accept(f), a.Accept(f))
	}
}

func TestAddRefuses(t *testing.T) {
	a := newTestAgent(t, smallOptions(), "")
	if err := a.Add([]rl.Episode{{}, {}}); !errors.Is(err, rl.ErrNoDecisions) {
		t.Errorf("no decision: error %v", err)
	}
	batch := rltest.Tokens{}.Play(a.Accept, rand.New(rand.NewPCG(1, 1)), 3)
	batch[2].Transitions[0].Features[4] = float32(math.Inf(1))
	if err := a.Add(batch); err == nil || !strings.Contains(err.Error(), "episode 2: transition 0: feature 4") {
		t.Errorf("infinite feature: error %v", err)
	}
	if err := a.Observe(nil); err == nil {
		t.Error("observing nothing is no error")
	}
	if a.buffer.Len() != 0 {
		t.Errorf("%d decisions in the buffer, want 0", a.buffer.Len())
	}
}

func TestNaNStopsAndNamesTheTensor(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Agent, []rl.Episode)
		want   string
	}{
		{"actor's weight", func(a *Agent, _ []rl.Episode) { a.Actor.Params[2].Values[1] = float32(math.NaN()) }, "actor: weight 1.weight is NaN at index 1"},
		{"critic's weight", func(a *Agent, _ []rl.Episode) { a.critics[1].Params[3].Values[0] = float32(math.Inf(1)) }, "critic 2: weight 1.bias is +Inf"},
		{"target's weight", func(a *Agent, _ []rl.Episode) { a.targets[0].Params[3].Values[0] = float32(math.Inf(1)) }, "target 1: weight 1.bias is +Inf"},
		{"loss", func(_ *Agent, b []rl.Episode) {
			for i := range b {
				b[i].Transitions[0].Reward = 1e30
			}
		}, "critic 1: loss is +Inf"},
	} {
		a := newTestAgent(t, smallOptions(), "")
		batch := rltest.Tokens{}.Play(a.Accept, rand.New(rand.NewPCG(1, 1)), 20)
		tc.change(a, batch)
		if err := a.Add(batch); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Update(context.Background()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for field, change := range map[string]func(*Options){
		"hidden_sizes[1]":      func(o *Options) { o.HiddenSizes = []int{1, 0} },
		"minibatch_size":       func(o *Options) { o.MinibatchSize = 0 },
		"updates_per_episode":  func(o *Options) { o.UpdatesPerEpisode = 0 },
		"learning_starts":      func(o *Options) { o.LearningStarts = -1 },
		"buffer_size":          func(o *Options) { o.BufferSize = 0 },
		"buffer_bytes":         func(o *Options) { o.BufferBytes = 1 },
		"gamma":                func(o *Options) { o.Gamma = 1.01 },
		"tau":                  func(o *Options) { o.Tau = 0 },
		"max_grad_norm":        func(o *Options) { o.MaxGradNorm = math.NaN() },
		"alpha":                func(o *Options) { o.Alpha = 0 },
		"target_entropy_scale": func(o *Options) { o.TargetEntropyScale = 2 },
		"initial_accept":       func(o *Options) { o.InitialAccept = 1 },
	} {
		o := DefaultOptions()
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "option "+field+" is") {
			t.Errorf("%s: error %v", field, err)
		}
		if _, err := New(3, o, ""); err == nil {
			t.Errorf("%s: an agent was made", field)
		}
	}
	if _, err := New(0, DefaultOptions(), ""); err == nil {
		t.Error("an agent without inputs was made")
	}
	o := DefaultOptions()
	o.BufferSpill = true
	if _, err := New(3, o, ""); err == nil {
		t.Error("an agent that spills to nowhere was made")
	}
}
