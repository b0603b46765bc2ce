package head

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// judges makes pairs of random states, of which people prefer one by the Bradley–Terry model with log-odds strength·(u(a) − u(b)).
func judges(n, d int, seed uint64, strength float64, utility func(wire.Vector) float64) []Pair {
	rng := rand.New(rand.NewPCG(seed, 1))
	reply := func() Reply {
		state := make(wire.Vector, d)
		for k := range state {
			state[k] = float32(100*float64(k%3) + (1+float64(k%5))*rng.NormFloat64()) // means and scales of their own
		}
		return Reply{State: state, Tokens: 1 + rng.IntN(50)}
	}
	pairs := make([]Pair, n)
	for i := range pairs {
		a, b := reply(), reply()
		if rng.Float64() > sigmoid(strength*(utility(a.State)-utility(b.State))) {
			a, b = b, a
		}
		pairs[i] = Pair{a, b}
	}
	return pairs
}

// alongFirst is a utility that is linear in the first value, of deviation 1.
func alongFirst(s wire.Vector) float64 { return float64(s[0]) }

// curved cannot be told by a linear score.
func curved(s wire.Vector) float64 { return math.Abs(float64(s[0])) }

func mustFit(t testing.TB, pairs []Pair, o Options) *Head {
	t.Helper()
	h, err := Fit(pairs, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func accuracy(h *Head, pairs []Pair) float64 {
	right := 0.0
	for _, p := range pairs {
		right += h.judge(p).right() / float64(len(pairs))
	}
	return right
}

func TestFitFindsWhatPeoplePrefer(t *testing.T) {
	for _, test := range []struct {
		name    string
		utility func(wire.Vector) float64
		o       Options
		least   float64
	}{
		{"linear", alongFirst, Options{L2: 0.01}, 0.97},
		{"curved, with hidden units", curved, Options{L2: 0.0005, Hidden: 8, Seed: 1}, 0.85},
	} {
		h := mustFit(t, judges(600, 6, 1, 50, test.utility), test.o)
		if got := accuracy(h, judges(500, 6, 2, 1e9, test.utility)); got < test.least {
			t.Errorf("%s: %.3f of new pairs right, want %.2f", test.name, got, test.least)
		}
	}
	if got := accuracy(mustFit(t, judges(600, 6, 1, 50, curved), Options{L2: 0.01}), judges(500, 6, 2, 1e9, curved)); got > 0.6 {
		t.Errorf("a linear head tells %.3f of pairs that no linear head can tell: the test is wrong", got)
	}
}

// With many pairs and little L2 the fitted log-odds are the true ones: the maximum-likelihood estimate.
func TestFitIsCalibrated(t *testing.T) {
	const strength = 1.5
	h := mustFit(t, judges(20000, 2, 3, strength, alongFirst), Options{L2: 1e-6})
	unit := h.Score(wire.Vector{1, 100}) - h.Score(wire.Vector{0, 100})
	if got := h.LogitScale * unit; math.Abs(got-strength) > 0.06 {
		t.Errorf("log-odds of %.3f for a utility 1 higher, want %.2f", got, strength)
	}
}

// The scores of the replies it was fitted on have mean 0 and deviation 1, with and without hidden units.
func TestScoresAreInDeviations(t *testing.T) {
	for _, hidden := range []int{0, 5} {
		pairs := judges(300, 7, 4, 2, alongFirst)
		h := mustFit(t, pairs, Options{L2: 0.1, Hidden: hidden, Seed: 2})
		var scores []float64
		for _, p := range pairs {
			scores = append(scores, h.Score(p.Chosen.State), h.Score(p.Rejected.State))
		}
		if mean, deviation := moments(scores); math.Abs(mean) > 1e-4 || math.Abs(deviation-1) > 1e-4 {
			t.Errorf("%d hidden units: mean %g, deviation %g", hidden, mean, deviation)
		}
	}
}

// The gradient of the loss is that of central differences.
func TestGradient(t *testing.T) {
	for _, hidden := range []int{0, 3} {
		pairs := judges(5, 4, 5, 1, alongFirst)
		f := fit{network: network{4, hidden}, l2: 0.3}
		s := standardise(pairs)
		for _, p := range pairs {
			f.chosen = append(f.chosen, s.apply(p.Chosen.State))
			f.rejected = append(f.rejected, s.apply(p.Rejected.State))
		}
		rng := rand.New(rand.NewPCG(6, 1))
		theta := make([]float64, f.network.size())
		for i := range theta {
			theta[i] = rng.NormFloat64()
		}
		got, want := make([]float64, len(theta)), make([]float64, len(theta))
		f.loss(got, theta)
		const step = 1e-5
		for i := range theta {
			at := func(x float64) float64 {
				moved := append([]float64(nil), theta...)
				moved[i] += x
				return f.loss(nil, moved)
			}
			want[i] = (at(step) - at(-step)) / (2 * step)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-7)); d != "" {
			t.Errorf("%d hidden units: by differences −, by the rules +\n%s", hidden, d)
		}
	}
}

func TestFitIsDeterministic(t *testing.T) {
	for _, hidden := range []int{0, 4} {
		o := Options{L2: 0.01, Hidden: hidden, Seed: 3}
		if d := cmp.Diff(mustFit(t, judges(80, 9, 7, 1, alongFirst), o), mustFit(t, judges(80, 9, 7, 1, alongFirst), o)); d != "" {
			t.Errorf("%d hidden units:\n%s", hidden, d)
		}
	}
}

func TestFitRefuses(t *testing.T) {
	good := judges(4, 3, 8, 1, alongFirst)
	with := func(change func([]Pair)) []Pair {
		pairs := judges(4, 3, 8, 1, alongFirst)
		change(pairs)
		return pairs
	}
	for _, test := range []struct {
		name  string
		pairs []Pair
		o     Options
		want  string
	}{
		{"no l2", good, Options{}, "l2"},
		{"hidden", good, Options{L2: 1, Hidden: -1}, "hidden"},
		{"one pair", good[:1], DefaultOptions(), "1 pairs"},
		{"lengths", with(func(p []Pair) { p[2].Rejected.State = p[2].Rejected.State[:2] }), DefaultOptions(), "pair 2"},
		{"NaN", with(func(p []Pair) { p[1].Chosen.State[0] = float32(math.NaN()) }), DefaultOptions(), "pair 1"},
		{"all alike", with(func(p []Pair) {
			for i := range p {
				p[i].Rejected = p[i].Chosen
			}
		}), DefaultOptions(), "same score"},
	} {
		if _, err := Fit(test.pairs, test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestCrossValidate(t *testing.T) {
	pairs := judges(400, 5, 9, 3, alongFirst)
	fold := make([]int, len(pairs))
	for i := range fold {
		fold[i] = i % 4
	}
	fits := 0
	r, err := CrossValidate(context.Background(), pairs, Options{L2: 0.01}, Folding{Fold: fold, Folds: 4, Resamples: 500, Seed: 1, Done: func() { fits++ }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Pairs != len(pairs) || fits != 4 || r.Accuracy.Mean < 0.75 || !(r.Accuracy.Low < r.Accuracy.Mean && r.Accuracy.Mean < r.Accuracy.High) {
		t.Errorf("%d fits, %+v", fits, r)
	}
	if r.ECE > 0.08 || math.Abs(r.LongerWins-0.5) > 0.08 || math.Abs(r.PrefersLonger-0.5) > 0.08 {
		t.Errorf("ECE %.3f, longer wins %.3f, prefers longer %.3f, want small and about a half", r.ECE, r.LongerWins, r.PrefersLonger)
	}
	// Labels that mean nothing are found out, however well they are learnt.
	rng := rand.New(rand.NewPCG(10, 1))
	for i := range pairs {
		if rng.IntN(2) == 0 {
			pairs[i].Chosen, pairs[i].Rejected = pairs[i].Rejected, pairs[i].Chosen
		}
	}
	r, err = CrossValidate(context.Background(), pairs, Options{L2: 1e-6}, Folding{Fold: fold, Folds: 4, Resamples: 500, Seed: 1})
	if err != nil || math.Abs(r.Accuracy.Mean-0.5) > 0.1 {
		t.Errorf("on coin flips: %+v, %v", r, err)
	}

	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := CrossValidate(cancelled, pairs, DefaultOptions(), Folding{Fold: fold, Folds: 4, Resamples: 10}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := CrossValidate(context.Background(), pairs, DefaultOptions(), Folding{Fold: fold[1:], Folds: 4}); err == nil {
		t.Error("a pair without a fold: no error")
	}
}

// The report of judgements that can be counted by hand.
func TestReport(t *testing.T) {
	r, err := report([]judgement{{0.9, 1}, {0.8, -1}, {0.2, 1}, {0.5, 0}}, 100, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := &Report{
		Pairs: 4, Accuracy: r.Accuracy, LongerWins: 2.5 / 4, PrefersLonger: 1.0 / 3,
		// Confidences .9 (right), .8 (right) and .8 (wrong), .5 (half right).
		ECE: (0.1 + 2*0.3 + 0) / 4,
		Bins: []Bin{
			{From: 0.5, Pairs: 1, Confidence: 0.5, Accuracy: 0.5}, {From: 0.6}, {From: 0.7},
			{From: 0.8, Pairs: 2, Confidence: 0.8, Accuracy: 0.5}, {From: 0.9, Pairs: 1, Confidence: 0.9, Accuracy: 1},
		},
	}
	if d := cmp.Diff(want, r, cmpopts.EquateApprox(0, 1e-9)); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	if r.Accuracy.Mean != 2.5/4 {
		t.Errorf("accuracy %g, want 2.5 of 4", r.Accuracy.Mean)
	}
}

func saved(t testing.TB, h *Head) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reward.gguf")
	if err := h.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// someHead is one that was never fitted.
func someHead(hidden int) *Head {
	rng := rand.New(rand.NewPCG(11, 1))
	h := &Head{}
	in := 6
	for _, out := range []int{hidden, 1} {
		if out == 0 {
			continue
		}
		l := linear(in, out)
		for _, values := range [][]float32{l.Weight, l.Bias} {
			for i := range values {
				values[i] = float32(rng.NormFloat64())
			}
		}
		h.Layers, in = append(h.Layers, l), out
	}
	h.LogitScale = 0.5
	h.Base = proxy.Base{Architecture: "llama", EmbeddingLength: 6, VocabSize: 100, Digest: "sha256:00"}
	h.Training = map[string]any{"pairs": int64(60), "pairs_digest": "sha256:11", "accuracy": 0.625}
	return h
}

func TestFileKeepsTheHead(t *testing.T) {
	for _, hidden := range []int{0, 3} {
		h := someHead(hidden)
		got, err := Open(saved(t, h))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(h, got); d != "" {
			t.Errorf("%d hidden units: −want +got\n%s", hidden, d)
		}
		if path := saved(t, h); !Is(path) || Is(path+"x") {
			t.Errorf("%d hidden units: Is says %v of the file and %v of none", hidden, Is(path), Is(path+"x"))
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	change := func(change func(*proxy.GGUF)) string {
		g, err := proxy.OpenGGUF(saved(t, someHead(3)))
		if err != nil {
			t.Fatal(err)
		}
		change(g)
		path := filepath.Join(t.TempDir(), "x.gguf")
		if err := g.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := func(key string, v any) string { return change(func(g *proxy.GGUF) { g.Keys[key] = v }) }
	text := filepath.Join(t.TempDir(), "text.gguf")
	if err := os.WriteFile(text, []byte("not a GGUF file"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ path, want string }{
		"no file":         {filepath.Join(t.TempDir(), "nowhere.gguf"), "nowhere.gguf"},
		"another kind":    {text, "GGUF"},
		"another GGUF":    {key(keyArchitecture, "llama"), keyArchitecture + ` is "llama"`},
		"newer":           {key(keyVersion, int64(2)), keyVersion},
		"no length":       {change(func(g *proxy.GGUF) { delete(g.Keys, keyLength) }), keyLength},
		"negative length": {key(keyLength, int64(-1)), keyLength},
		"huge":            {key(keyLength, int64(math.MaxInt32)), keyLength},
		"hidden":          {key(keyHidden, int64(5000)), keyHidden},
		"other length":    {key(keyLength, int64(7)), weightName(0)},
		"linear":          {key(keyHidden, int64(0)), weightName(0)},
		"scale":           {key(keyLogitScale, 0.0), keyLogitScale},
		"scale's type":    {key(keyLogitScale, "much"), keyLogitScale},
		"a tensor less":   {change(func(g *proxy.GGUF) { delete(g.Tensors, biasName(1)) }), biasName(1)},
		"a tensor more":   {change(func(g *proxy.GGUF) { g.Tensors["x"] = proxy.Tensor{Shape: []int{1}, Values: []float32{1}} }), "5 tensors"},
	} {
		_, err := Open(test.path)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), filepath.Base(test.path)) {
			t.Errorf("%s: %v, want one of %s with %q", name, err, filepath.Base(test.path), test.want)
		}
	}
	h := someHead(0)
	h.Layers[0].Weight[2] = float32(math.NaN())
	if err := h.WriteFile(filepath.Join(t.TempDir(), "x.gguf")); err == nil {
		t.Error("NaN was written")
	}
}

// A damaged file is an error or a head that scores, and never a panic.
func FuzzOpen(f *testing.F) {
	for _, hidden := range []int{0, 3} {
		data, err := os.ReadFile(saved(f, someHead(hidden)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := proxy.DecodeGGUF(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if h, err := fromGGUF(g); err == nil {
			h.Score(make([]float32, h.Length()))
		}
	})
}

func TestCheckBase(t *testing.T) {
	h := someHead(0)
	for _, test := range []struct {
		base           proxy.Base
		warning, error string
	}{
		{h.Base, "", ""},
		{proxy.Base{EmbeddingLength: 6}, "", ""},
		{proxy.Base{EmbeddingLength: 7}, "", "6 values"},
		{proxy.Base{Architecture: "qwen3", EmbeddingLength: 6}, "", "llama"},
		{proxy.Base{Architecture: "llama", EmbeddingLength: 6, Digest: "sha256:22"}, "sha256:22", ""},
	} {
		warning, err := h.CheckBase(test.base)
		if !strings.Contains(warning, test.warning) || (warning == "") != (test.warning == "") || !strings.Contains(fmt.Sprint(err), test.error) || (err == nil) != (test.error == "") {
			t.Errorf("%+v: %q, %v", test.base, warning, err)
		}
	}
}
