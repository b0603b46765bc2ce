package ppo

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/policy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

const inputs = 6

func smallOptions() Options {
	o := DefaultOptions()
	o.HiddenSizes, o.MinibatchSize = []int{16}, 32
	return o
}

func newAgent(t testing.TB, o Options) *Agent {
	t.Helper()
	a, err := New(inputs, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signBandit plays episodes of one to four decisions in which accepting is right
// iff the first feature is above 2, its mean. The reward is the share of right
// decisions.
func signBandit(a *Agent, rng *rand.Rand, episodes int) (batch []rl.Episode, right float64) {
	decisions := 0.0
	for range episodes {
		e := rl.Episode{}
		n := 1 + rng.IntN(4)
		for i := range n {
			f := make([]float32, a.InputLength())
			for j := range f {
				f[j] = float32(2 + 3*rng.NormFloat64())
			}
			t := rl.Transition{Features: f, Token: 2 * i, Action: sampler.Accept}
			p := a.Accept(f)
			if rng.Float64() >= p {
				t.Action, p = sampler.Reject, 1-p
			}
			t.LogProb = math.Log(p)
			if (t.Action == sampler.Accept) == (f[0] > 2) {
				t.Reward = 1 / float64(n)
				right++
			}
			decisions++
			e.Return += t.Reward
			e.Transitions = append(e.Transitions, t)
		}
		e.Tokens = 2 * n
		batch = append(batch, e)
	}
	return batch, right / decisions
}

func warm(t testing.TB, a *Agent, rng *rand.Rand) {
	t.Helper()
	batch, _ := signBandit(a, rng, 20)
	for _, e := range batch {
		for _, tr := range e.Transitions {
			if err := a.Observe(tr.Features); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func weightsOf(t testing.TB, a *Agent) [][]float32 {
	t.Helper()
	var w [][]float32
	for _, n := range a.networks() {
		for _, p := range n.Params {
			w = append(w, slices.Clone(p.Values))
		}
	}
	return w
}

func TestUntrainedAgent(t *testing.T) {
	for _, p := range []float64{.1, .5, .8, .99} {
		o := DefaultOptions()
		o.HiddenSizes, o.MinibatchSize, o.InitialAccept = []int{64}, 8, p
		a, rng := newAgent(t, o), rand.New(rand.NewPCG(1, 1))
		for range 20 {
			f := make([]float32, inputs)
			for i := range f {
				f[i] = float32(3 * rng.NormFloat64())
			}
			if got := a.Accept(f); math.Abs(got-p) > .02 {
				t.Errorf("pi(accept) is %v at first, want about %v", got, p)
			}
			if v := a.Value(f); math.Abs(v) > .02 {
				t.Errorf("the critic starts with a value of %v, want about 0", v)
			}
		}
	}
}

// One epoch, one minibatch: all of it is the first minibatch.
func TestFirstMinibatch(t *testing.T) {
	for _, warmed := range []bool{false, true} {
		o := smallOptions()
		o.Epochs, o.MinibatchSize = 1, 64
		a, rng := newAgent(t, o), rand.New(rand.NewPCG(2, 2))
		if warmed {
			warm(t, a, rng)
		}
		for update := range 3 { // the statistics change from one to the next
			batch, _ := signBandit(a, rng, 15)
			m, err := a.Update(batch)
			if err != nil {
				t.Fatal(err)
			}
			if m.BehaviourGap > 2e-6 || math.Abs(m.ApproxKL) > 1e-11 || math.Abs(m.OldApproxKL) > 1e-6 || m.ClipFrac != 0 {
				t.Errorf("warmed %v, update %d: gap %g, approx_kl %g, old_approx_kl %g, clipfrac %g, want 0", warmed, update, m.BehaviourGap, m.ApproxKL, m.OldApproxKL, m.ClipFrac)
			}
			// At ratio 1 the loss is the mean of normalised advantages: 0.
			if math.Abs(m.PolicyLoss) > 1e-6 {
				t.Errorf("warmed %v, update %d: policy loss %g with normalised advantages, want 0", warmed, update, m.PolicyLoss)
			}
		}
	}
}

func TestBehaviourGapSeesAnotherPolicy(t *testing.T) {
	a := newAgent(t, smallOptions())
	batch, _ := signBandit(a, rand.New(rand.NewPCG(2, 2)), 5)
	for _, e := range batch {
		for i := range e.Transitions {
			e.Transitions[i].LogProb -= .25
		}
	}
	m, err := a.Update(batch)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(m.BehaviourGap-.25) > 1e-5 {
		t.Errorf("gap is %v, want 0.25", m.BehaviourGap)
	}
}

func TestLearnsTheBandit(t *testing.T) {
	learn := func(seed uint64, rate float64) float64 {
		o := smallOptions()
		o.HiddenSizes, o.MinibatchSize, o.Seed = []int{32}, 128, seed
		o.LearningRate = rate
		a, rng := newAgent(t, o), rand.New(rand.NewPCG(seed, 77))
		warm(t, a, rng)
		for range 30 {
			batch, _ := signBandit(a, rng, 100)
			if _, err := a.Update(batch); err != nil {
				t.Fatal(err)
			}
		}
		_, right := signBandit(a, rng, 500)
		return right
	}
	for _, seed := range []uint64{1, 2, 3} {
		if got := learn(seed, 5e-3); got < .9 {
			t.Errorf("seed %d: %.2f of decisions are right after 30 updates, want 0.9", seed, got)
		}
		if got := learn(seed, 0); got > .6 {
			t.Errorf("seed %d: %.2f of decisions are right with learning rate 0: the environment gives itself away", seed, got)
		}
	}
}

// Critic and advantages with rewards at the end only: values must come to
// predict the return.
func TestCriticLearns(t *testing.T) {
	o := smallOptions()
	o.CriticLearningRate = 1e-2
	a, rng := newAgent(t, o), rand.New(rand.NewPCG(6, 6))
	var first, last Metrics
	for i := range 25 {
		batch, _ := signBandit(a, rng, 60)
		for _, e := range batch {
			for j := range e.Transitions {
				e.Transitions[j].Reward = 0
			}
			e.Transitions[len(e.Transitions)-1].Reward = 5 + float64(e.Transitions[0].Features[1]) // known from the first decision on
			for j := range e.Transitions {
				e.Transitions[j].Features[1] = e.Transitions[0].Features[1]
				e.Transitions[j].LogProb = logProb(a, e.Transitions[j])
			}
		}
		m, err := a.Update(batch)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = m
		}
		last = m
	}
	if last.ValueLoss > first.ValueLoss/10 || last.ExplainedVariance < .8 {
		t.Errorf("value loss went from %.3f to %.3f, explained variance to %.3f; want a tenth and 0.8", first.ValueLoss, last.ValueLoss, last.ExplainedVariance)
	}
}

func logProb(a *Agent, t rl.Transition) float64 {
	p := a.Accept(t.Features)
	if t.Action == sampler.Reject {
		p = 1 - p
	}
	return math.Log(p)
}

func TestLearningRateZeroKeepsWeights(t *testing.T) {
	o := smallOptions()
	o.LearningRate, o.CriticLearningRate = 0, 0
	a, rng := newAgent(t, o), rand.New(rand.NewPCG(3, 3))
	before := weightsOf(t, a)
	for range 3 {
		batch, _ := signBandit(a, rng, 30)
		if _, err := a.Update(batch); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, weightsOf(t, a)); diff != "" {
		t.Errorf("weights changed:\n%.300s", diff)
	}
}

// A batch of 10 in minibatches of at most 10 must be the same update with room
// for 64: rows beyond the batch weigh nothing.
func TestPaddingChangesNothing(t *testing.T) {
	run := func(size int) [][]float32 {
		o := smallOptions()
		o.MinibatchSize = size
		a := newAgent(t, o)
		rng := rand.New(rand.NewPCG(8, 8))
		warm(t, a, rng)
		batch, _ := signBandit(a, rng, 4)
		for range 3 {
			if _, err := a.Update(batch); err != nil {
				t.Fatal(err)
			}
		}
		return weightsOf(t, a)
	}
	exact, padded := run(decisionsIn(t)), run(64)
	for i := range exact {
		for j := range exact[i] {
			if math.Abs(float64(exact[i][j]-padded[i][j])) > 1e-5 {
				t.Fatalf("tensor %d, element %d: %v without padding, %v with", i, j, exact[i][j], padded[i][j])
			}
		}
	}
}

// decisionsIn counts the decisions of TestPaddingChangesNothing's batch.
func decisionsIn(t *testing.T) int {
	a, rng := newAgent(t, smallOptions()), rand.New(rand.NewPCG(8, 8))
	warm(t, a, rng)
	batch, _ := signBandit(a, rng, 4)
	n := 0
	for _, e := range batch {
		n += len(e.Transitions)
	}
	return n
}

func TestCut(t *testing.T) {
	for _, tc := range []struct {
		n, size int
		want    []int
	}{
		{1, 4, []int{1}}, {4, 4, []int{4}}, {5, 4, []int{2, 3}}, {9, 4, []int{3, 3, 3}}, {10, 4, []int{3, 3, 4}}, {0, 4, []int{}},
	} {
		order := make([]int, tc.n)
		for i := range order {
			order[i] = i
		}
		got, all := []int{}, []int{}
		for _, p := range cut(order, tc.size) {
			got, all = append(got, len(p)), append(all, p...)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%d by %d (-want +got):\n%s", tc.n, tc.size, diff)
		}
		if !slices.Equal(order, all) {
			t.Errorf("%d by %d: pieces are %v", tc.n, tc.size, all)
		}
	}
}

func TestNormalisation(t *testing.T) {
	adv := []float64{99, 1, 2, 3, 4, -99}
	rows := []int{1, 2, 3, 4}
	shift, scale := normalisation(adv, rows)
	if want := 1 / (math.Sqrt(5./3) + 1e-8); shift != 2.5 || math.Abs(scale-want) > 1e-12 {
		t.Errorf("shift %v and scale %v, want 2.5 and %v", shift, scale, want)
	}
	if shift, scale := normalisation(adv, rows[:1]); shift != 0 || scale != 1 {
		t.Errorf("one row: shift %v and scale %v, want 0 and 1", shift, scale)
	}
	if _, scale := normalisation([]float64{5, 5}, []int{0, 1}); math.IsInf(scale, 0) || math.IsNaN(scale) {
		t.Errorf("equal advantages: scale %v, want a finite number", scale)
	}
}

// With NormAdv, scaling and shifting all rewards of one-decision episodes leaves
// the actor alone; without, it does not.
func TestNormAdv(t *testing.T) {
	run := func(norm bool, scale, shift float64) []float32 {
		o := smallOptions()
		o.NormAdv, o.CriticLearningRate, o.MaxGradNorm, o.AdamEps = norm, 0, 0, 1e-3
		a := newAgent(t, o)
		for i := range a.critic.Params {
			clear(a.critic.Params[i].Values)
		}
		rng := rand.New(rand.NewPCG(8, 1))
		batch, _ := signBandit(a, rng, 30)
		for i := range batch {
			batch[i].Transitions = batch[i].Transitions[:1]
			batch[i].Transitions[0].Reward = scale*batch[i].Transitions[0].Reward + shift
		}
		if _, err := a.Update(batch); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(a.Actor.Params[0].Values)
	}
	distance := func(a, b []float32) (d float64) {
		for i := range a {
			d = max(d, math.Abs(float64(a[i]-b[i])))
		}
		return d
	}
	if d := distance(run(true, 1, 0), run(true, 50, 7)); d > 1e-5 {
		t.Errorf("normalised: weights differ by %g, want none", d)
	}
	if d := distance(run(false, 1, 0), run(false, 50, 7)); d < 1e-4 {
		t.Errorf("not normalised: weights differ by %g only", d)
	}
}

func TestTargetKLStopsEarly(t *testing.T) {
	o := smallOptions()
	o.LearningRate, o.Epochs, o.TargetKL = 5e-2, 10, 1e-3
	a := newAgent(t, o)
	batch, _ := signBandit(a, rand.New(rand.NewPCG(5, 1)), 40)
	m, err := a.Update(batch)
	if err != nil {
		t.Fatal(err)
	}
	if m.Epochs == 10 || m.ApproxKL <= o.TargetKL {
		t.Errorf("%d epochs, the last with approx_kl %g: want fewer than 10, and more than %g", m.Epochs, m.ApproxKL, o.TargetKL)
	}
	if m.ClipFrac == 0 {
		t.Error("clipfrac is 0 although the policy moved far")
	}
}

func TestProxyIsTheAgent(t *testing.T) {
	for _, o := range []policy.Networks{
		{HiddenSizes: nil, Activation: proxy.ReLU},
		{HiddenSizes: []int{33}, Activation: proxy.ReLU},
		{HiddenSizes: []int{17, 9}, Activation: proxy.Tanh},
		{HiddenSizes: []int{17, 9}, Activation: proxy.SiLU},
	} {
		full := smallOptions()
		full.HiddenSizes, full.Activation, full.LearningRate = o.HiddenSizes, o.Activation, 1e-2
		a, rng := newAgent(t, full), rand.New(rand.NewPCG(1, 4))
		for range 4 {
			batch, _ := signBandit(a, rng, 30)
			if _, err := a.Update(batch); err != nil {
				t.Fatal(err)
			}
		}
		c := proxy.Config{Features: proxy.Prefix, EmbeddingLength: inputs / 2, Pool: sampler.DefaultOptions(), Cutoff: .5}
		m, err := a.Proxy(c)
		if err != nil {
			t.Fatal(err)
		}
		lowest, highest := 1.0, 0.0
		batch, _ := signBandit(a, rng, 50)
		for _, e := range batch {
			for _, tr := range e.Transitions {
				x := make([]float64, inputs)
				for i, v := range tr.Features {
					x[i] = float64(v)
				}
				want, got := a.Accept(tr.Features), m.Accept(x)
				if math.Abs(want-got) > 1e-5 {
					t.Errorf("%v %v: exported pi(accept) %v, the agent's %v", o.Activation, o.HiddenSizes, got, want)
				}
				lowest, highest = min(lowest, got), max(highest, got)
			}
		}
		if highest-lowest < .2 {
			t.Errorf("%v %v: pi(accept) only runs from %v to %v: nothing was compared", o.Activation, o.HiddenSizes, lowest, highest)
		}
		c.EmbeddingLength++
		if _, err := a.Proxy(c); err == nil || !strings.Contains(err.Error(), "made for 6") {
			t.Errorf("another input length: error %v", err)
		}
	}
}

func TestValueIsTheProgram(t *testing.T) {
	a, rng := newAgent(t, smallOptions()), rand.New(rand.NewPCG(1, 4))
	warm(t, a, rng)
	batch, _ := signBandit(a, rng, 40)
	b, err := a.prepare(batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, tr := range b.transitions {
		if want := a.Value(tr.Features); math.Abs(b.values[i]-want) > 1e-5 {
			t.Fatalf("value %d is %v in the program, %v in plain loops", i, b.values[i], want)
		}
	}
}

// saved is the agent's state after gob.
func saved(t testing.TB, a *Agent) State { return nntest.ThroughFile(t, a.State()) }

func TestStateContinuesBitEqual(t *testing.T) {
	a, rng := newAgent(t, smallOptions()), rand.New(rand.NewPCG(9, 4))
	warm(t, a, rng)
	play := func(n int, agents ...*Agent) (all []Metrics) {
		for range n {
			batch, _ := signBandit(agents[0], rng, 30)
			for _, a := range agents {
				m, err := a.Update(batch)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, m)
			}
		}
		return all
	}
	play(2, a)
	s := saved(t, a)
	play(1, a)
	b, err := FromState(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Restore(s); err != nil {
		t.Fatal(err)
	}
	ms := play(3, a, b)
	for i := 0; i < len(ms); i += 2 {
		if diff := cmp.Diff(ms[i], ms[i+1]); diff != "" {
			t.Errorf("update %d (-original +restored):\n%s", i/2, diff)
		}
	}
	if diff := cmp.Diff(weightsOf(t, a), weightsOf(t, b)); diff != "" {
		t.Errorf("weights differ:\n%.300s", diff)
	}
	if a.Updates != 5 || b.Updates != 5 {
		t.Errorf("%d and %d updates, want 5", a.Updates, b.Updates)
	}
}

func TestRestoreRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*State)
		want   string
	}{
		{"version", func(s *State) { s.Version = 1 }, "version 1"},
		{"input", func(s *State) { s.InputLength = 7 }, "7 features"},
		{"hidden", func(s *State) { s.Options.HiddenSizes = []int{17} }, "hidden sizes"},
		{"activation", func(s *State) { s.Options.Activation = proxy.Tanh }, "activation"},
		{"statistics", func(s *State) { s.Features = rl.Running{Count: 1, Mean: []float64{1}} }, "statistics"},
		{"tensors", func(s *State) { s.Critic.Tensors = s.Critic.Tensors[1:] }, "critic: the state has 3 tensors"},
		{"name", func(s *State) { s.Actor.Tensors[1].Name = "x" }, "want 0.bias"},
		{"values", func(s *State) { s.Actor.Tensors[1].Moment2 = nil }, "0.bias of the state has 0 values"},
		{"nan", func(s *State) { s.Actor.Tensors[0].Values[3] = float32(math.NaN()) }, "0.weight of the state is NaN at index 3"},
		{"random", func(s *State) { s.Random = nil }, "random generator"},
	} {
		a := newAgent(t, smallOptions())
		s := saved(t, a)
		tc.change(&s)
		before := weightsOf(t, a)
		if err := a.Restore(s); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
		if diff := cmp.Diff(before, weightsOf(t, a)); diff != "" {
			t.Errorf("%s: the agent changed", tc.name)
		}
	}
}

func TestUpdateRefuses(t *testing.T) {
	a := newAgent(t, smallOptions())
	if _, err := a.Update([]rl.Episode{{}, {}}); !errors.Is(err, rl.ErrNoDecisions) {
		t.Errorf("no decision: error %v", err)
	}
	batch, _ := signBandit(a, rand.New(rand.NewPCG(1, 1)), 3)
	batch[2].Transitions[0].Features[4] = float32(math.Inf(1))
	if _, err := a.Update(batch); err == nil || !strings.Contains(err.Error(), "episode 2: transition 0: feature 4") {
		t.Errorf("infinite feature: error %v", err)
	}
	if err := a.Observe(batch[2].Transitions[0].Features); err == nil || !strings.Contains(err.Error(), "feature 4") {
		t.Errorf("observing an infinite feature: error %v", err)
	}
	if err := a.Observe(nil); err == nil {
		t.Error("observing nothing is no error")
	}
	if a.Updates != 0 {
		t.Errorf("%d updates, want 0", a.Updates)
	}
}

func TestNaNStopsAndNamesTheTensor(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Agent, []rl.Episode)
		want   string
	}{
		{"actor's weight", func(a *Agent, _ []rl.Episode) { a.Actor.Params[2].Values[1] = float32(math.NaN()) }, "actor: weight 1.weight is NaN at index 1"},
		{"critic's weight", func(a *Agent, _ []rl.Episode) { a.critic.Params[3].Values[0] = float32(math.Inf(1)) }, "critic: weight 1.bias is +Inf"},
		{"value loss", func(_ *Agent, b []rl.Episode) { b[0].Transitions[0].Reward = 1e30 }, "critic: value loss is +Inf"},
		{"policy loss", func(_ *Agent, b []rl.Episode) {
			b[0].Transitions[0].LogProb, b[0].Transitions[0].Reward = -1e4, -1e3
		}, "actor: policy loss is"},
	} {
		a := newAgent(t, smallOptions())
		batch, _ := signBandit(a, rand.New(rand.NewPCG(1, 1)), 8)
		tc.change(a, batch)
		if _, err := a.Update(batch); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for field, change := range map[string]func(*Options){
		"hidden_sizes[1]": func(o *Options) { o.HiddenSizes = []int{1, 0} },
		"update_epochs":   func(o *Options) { o.Epochs = 0 },
		"minibatch_size":  func(o *Options) { o.MinibatchSize = 1 },
		"group_size":      func(o *Options) { o.GroupSize = 1 },
		"clip_coef":       func(o *Options) { o.ClipCoef = 0 },
		"ent_coef":        func(o *Options) { o.EntCoef = math.NaN() },
		"max_grad_norm":   func(o *Options) { o.MaxGradNorm = -1 },
		"gamma":           func(o *Options) { o.Gamma = 1.01 },
		"gae_lambda":      func(o *Options) { o.GAELambda = -.1 },
		"initial_accept":  func(o *Options) { o.InitialAccept = 1 },
		"target_kl":       func(o *Options) { o.TargetKL = -1 },
	} {
		o := DefaultOptions()
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "option "+field+" is") {
			t.Errorf("%s: error %v", field, err)
		}
		if _, err := New(3, o); err == nil {
			t.Errorf("%s: an agent was made", field)
		}
	}
	if _, err := New(0, DefaultOptions()); err == nil {
		t.Error("an agent without inputs was made")
	}
}

func TestMetricsMap(t *testing.T) {
	a := newAgent(t, smallOptions())
	batch, _ := signBandit(a, rand.New(rand.NewPCG(1, 1)), 30)
	m, err := a.Update(batch)
	if err != nil {
		t.Fatal(err)
	}
	got := m.Map()
	for _, name := range []string{"policy_loss", "value_loss", "entropy", "approx_kl", "old_approx_kl", "clipfrac", "explained_variance"} {
		if v, ok := got["losses/"+name]; !ok || math.IsNaN(v) {
			t.Errorf("losses/%s is %v, there: %v", name, v, ok)
		}
	}
	// pi(accept) starts near 0.8.
	if want := -.8*math.Log(.8) - .2*math.Log(.2); math.Abs(got["losses/entropy"]-want) > .05 {
		t.Errorf("entropy is %v, want about %v", got["losses/entropy"], want)
	}
}

// At the paper's size, nodes that kept their values would hold 180 MB.
func TestNothingOutlivesARun(t *testing.T) {
	a := newAgent(t, smallOptions())
	batch, _ := signBandit(a, rand.New(rand.NewPCG(1, 1)), 5)
	if _, err := a.Update(batch); err != nil {
		t.Fatal(err)
	}
	for _, p := range []nn.Program{a.actorOn.Program, a.criticOn.Program, a.valuesOn.Program} {
		for _, n := range p.Holding() {
			t.Errorf("%v keeps a value of shape %v", n, n.Value().Shape())
		}
	}
}
