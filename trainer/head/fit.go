package head

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/optimize"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// Pair is two replies to one prompt, of which people preferred the first.
type Pair struct {
	Chosen, Rejected Reply
}

// Reply is what is known of one: its mean state and its length in tokens.
type Reply struct {
	State  wire.Vector
	Tokens int
}

// Options are the knobs of a fit. Start from [DefaultOptions].
type Options struct {
	// L2 is λ in: mean of −ln σ(score(chosen) − score(rejected)) + λ/2 · |weights|², the weights being those of standardised
	// states. Above 0; without it a head of as many weights as pairs learns the pairs by heart. Two layers hold each other
	// down, so hidden units want a tenth or a hundredth of what the linear score wants.
	L2 float64
	// Hidden is the number of tanh units between state and score; 0 is a linear score.
	Hidden int
	// Seed is that of the hidden units' first weights. A linear fit has no use of it.
	Seed uint64
}

// DefaultOptions is a linear score, as strongly held as did best in trials.
func DefaultOptions() Options { return Options{L2: 0.5, Seed: 1} }

// maxHidden keeps the fit one of minutes.
const maxHidden = 1024

// Validate names the option that is wrong.
func (o Options) Validate() error {
	if !(o.L2 > 0) || math.IsInf(o.L2, 0) {
		return fmt.Errorf("l2: want more than 0, got %v", o.L2)
	}
	if o.Hidden < 0 || o.Hidden > maxHidden {
		return fmt.Errorf("hidden: want 0 (linear) to %d units, got %d", maxHidden, o.Hidden)
	}
	return nil
}

// Fit trains a head on pairs, whose states have one length. The same pairs in the same order give the same head.
func Fit(pairs []Pair, o Options) (*Head, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := checkPairs(pairs); err != nil {
		return nil, err
	}
	scaling := standardise(pairs)
	f := fit{network: network{len(pairs[0].Chosen.State), o.Hidden}, l2: o.L2}
	for _, p := range pairs {
		f.chosen = append(f.chosen, scaling.apply(p.Chosen.State))
		f.rejected = append(f.rejected, scaling.apply(p.Rejected.State))
	}
	theta, err := f.minimise(f.network.initial(o.Seed))
	if err != nil {
		return nil, err
	}
	return f.head(theta, scaling)
}

func checkPairs(pairs []Pair) error {
	if len(pairs) < 2 {
		return fmt.Errorf("%d pairs: want 2 at the very least, and hundreds for a head of use", len(pairs))
	}
	d := len(pairs[0].Chosen.State)
	for i, p := range pairs {
		for _, state := range []wire.Vector{p.Chosen.State, p.Rejected.State} {
			if len(state) != d || d == 0 {
				return fmt.Errorf("pair %d: a state has %d values, the first one %d", i, len(state), d)
			}
			for _, x := range state {
				if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
					return fmt.Errorf("pair %d: a state has the value %v: the model or its server is broken", i, x)
				}
			}
		}
	}
	return nil
}

// fit is the pairs' standardised states and the loss over them.
type fit struct {
	network          network
	l2               float64
	chosen, rejected [][]float32
}

// loss returns the objective at theta and, if gradient is not nil, writes its gradient.
func (f *fit) loss(gradient, theta []float64) float64 {
	clear(gradient)
	n := float64(len(f.chosen))
	sum := 0.0
	for i := range f.chosen {
		margin := f.network.score(theta, f.chosen[i]) - f.network.score(theta, f.rejected[i])
		sum += softplus(-margin) / n
		if gradient != nil {
			slope := -sigmoid(-margin) / n
			f.network.addGradient(gradient, theta, f.chosen[i], slope)
			f.network.addGradient(gradient, theta, f.rejected[i], -slope)
		}
	}
	for i, w := range theta {
		if f.network.decayed(i) {
			sum += f.l2 / 2 * w * w
			if gradient != nil {
				gradient[i] += f.l2 * w
			}
		}
	}
	return sum
}

// softplus is ln(1 + eˣ), which does not overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// minimise is L-BFGS: the linear objective is strictly convex, so that it has one minimum and the start does not matter.
func (f *fit) minimise(start []float64) ([]float64, error) {
	problem := optimize.Problem{
		Func: func(x []float64) float64 { return f.loss(nil, x) },
		Grad: func(g, x []float64) { f.loss(g, x) },
	}
	settings := &optimize.Settings{GradientThreshold: 1e-6, MajorIterations: 1000, Converger: optimize.NeverTerminate{}}
	result, err := optimize.Minimize(problem, start, settings, &optimize.LBFGS{})
	if result == nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	// Near the minimum a line search may find no smaller number any more.
	gradient := make([]float64, len(start))
	f.loss(gradient, result.X)
	for _, g := range gradient {
		if !(math.Abs(g) < 1e-4) {
			return nil, fmt.Errorf("fit: it ended with a slope of %g left (%v): %w", g, result.Status, errors.Join(err, errNotConverged))
		}
	}
	return result.X, nil
}

var errNotConverged = errors.New("no minimum was reached: raise l2")

// scaling brings each value of a state to mean 0 and deviation 1 over the replies of the pairs.
type scaling struct{ mean, deviation []float64 }

func standardise(pairs []Pair) scaling {
	d := len(pairs[0].Chosen.State)
	s := scaling{make([]float64, d), make([]float64, d)}
	n := float64(2 * len(pairs))
	each := func(do func(k int, x float64)) {
		for _, p := range pairs {
			for _, state := range []wire.Vector{p.Chosen.State, p.Rejected.State} {
				for k, x := range state {
					do(k, float64(x))
				}
			}
		}
	}
	each(func(k int, x float64) { s.mean[k] += x / n })
	each(func(k int, x float64) { s.deviation[k] += (x - s.mean[k]) * (x - s.mean[k]) / n })
	for k, v := range s.deviation {
		if s.deviation[k] = math.Sqrt(v); s.deviation[k] < 1e-12 {
			s.deviation[k] = 1 // a value that never changes says nothing
		}
	}
	return s
}

func (s scaling) apply(state wire.Vector) []float32 {
	out := make([]float32, len(state))
	for k, x := range state {
		out[k] = float32((float64(x) - s.mean[k]) / s.deviation[k])
	}
	return out
}

// head folds the standardisation of the states into the first layer, and the mean and deviation of the scores into the last.
func (f *fit) head(theta []float64, s scaling) (*Head, error) {
	var scores []float64
	for i := range f.chosen {
		scores = append(scores, f.network.score(theta, f.chosen[i]), f.network.score(theta, f.rejected[i]))
	}
	mean, deviation := moments(scores)
	if !(deviation > 1e-9) {
		return nil, errors.New("fit: every reply gets the same score: the pairs' states do not differ, or l2 is too large")
	}
	w, b, v := theta, []float64{0}, []float64{1}
	if f.network.hidden > 0 {
		w, b, v = f.network.parts(theta)
	}
	first := linear(f.network.d, len(b))
	for o := range b {
		bias := b[o]
		for k := range f.network.d {
			folded := w[o*f.network.d+k] / s.deviation[k]
			first.Weight[o*f.network.d+k] = float32(folded)
			bias -= folded * s.mean[k]
		}
		first.Bias[o] = float32(bias)
	}
	h := &Head{Layers: []proxy.Linear{first}, LogitScale: deviation}
	if f.network.hidden > 0 {
		last := linear(f.network.hidden, 1)
		for j := range v {
			last.Weight[j] = float32(v[j])
		}
		h.Layers = append(h.Layers, last)
	}
	last := &h.Layers[len(h.Layers)-1]
	for i := range last.Weight {
		last.Weight[i] = float32(float64(last.Weight[i]) / deviation)
	}
	last.Bias[0] = float32((float64(last.Bias[0]) - mean) / deviation)
	return h, nil
}

func linear(in, out int) proxy.Linear {
	return proxy.Linear{In: in, Out: out, Weight: make([]float32, in*out), Bias: make([]float32, out)}
}

// moments are the mean and the deviation of numbers.
func moments(x []float64) (mean, deviation float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		deviation += (v - mean) * (v - mean) / float64(len(x))
	}
	return mean, math.Sqrt(deviation)
}
