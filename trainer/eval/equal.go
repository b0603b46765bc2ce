package eval

import (
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// EqualN is the n at which best-of-n is worth as much as the proxy, by the mean reward, and what a reply costs either way.
type EqualN struct {
	// N is the smallest n whose best-of-n reaches the proxy, interpolated in log n between whole numbers; 1 also where the proxy is
	// worth less than a single sample. nil: best of Largest does not reach it.
	N *float64 `json:"n"`
	// Low and High are the ends of N's 95 % bootstrap interval over prompts; nil: beyond Largest.
	Low  *float64 `json:"low"`
	High *float64 `json:"high"`
	// Largest is the largest n that was drawn.
	Largest int  `json:"largest"`
	Proxy   Cost `json:"proxy"`
	// BestOf is the cost at N, or at Largest where N is nil.
	BestOf Cost `json:"best_of"`
}

// String writes n as reports do: "8.3 [5.1, > 32]".
func (e EqualN) String() string {
	end := func(n *float64) string {
		if n == nil {
			return fmt.Sprintf("> %d", e.Largest)
		}
		return fmt.Sprintf("%.1f", *n)
	}
	return fmt.Sprintf("%s [%s, %s]", end(e.N), end(e.Low), end(e.High))
}

// equalN compares the proxy with the best of 1 … N draws, which are chosen by the first reward. rewards says which reward is
// compared.
func equalN(draws, proxy choice, rewards func(*Scores) []float64, resamples int, seed uint64) (*EqualN, error) {
	largest := draws.scores.draws()
	best := make([][]float64, largest) // of n−1, prompt by prompt
	for n := range best {
		chosen, err := draws.bestOf(n+1, "")
		if err != nil {
			return nil, err
		}
		best[n] = chosen.perPrompt(func(i int) float64 { return rewards(draws.scores)[i] })
	}
	level := proxy.perPrompt(func(i int) float64 { return rewards(proxy.scores)[i] })
	curve := make([]float64, largest)
	equal := func(picks []int) float64 {
		for n := range curve {
			curve[n] = meanOf(best[n], picks)
		}
		return crossing(curve, meanOf(level, picks))
	}
	everyone := make([]int, len(level))
	for i := range everyone {
		everyone[i] = i
	}
	n := equal(everyone)
	low, high, err := stats.BootstrapOf(len(level), resamples, seed, equal)
	if err != nil {
		return nil, err
	}
	draws.n = largest
	out := &EqualN{N: finite(n), Low: finite(low), High: finite(high), Largest: largest, Proxy: proxy.cost(), BestOf: draws.cost()}
	if out.N != nil {
		draws.n = 1
		one := draws.cost()
		out.BestOf = Cost{Forwards: one.Forwards * n, Prompt: one.Prompt + n - 1}
	}
	return out, nil
}

// crossing returns the smallest n at which a curve over n = 1, 2, … reaches a level, interpolated in log n, or infinity.
func crossing(curve []float64, level float64) float64 {
	for i, y := range curve {
		switch {
		case y < level:
			continue
		case i == 0:
			return 1
		}
		below, n := curve[i-1], float64(i) // n is where the curve is below
		return n * math.Pow((n+1)/n, (level-below)/(y-below))
	}
	return math.Inf(1)
}

func meanOf(xs []float64, picks []int) float64 {
	sum := 0.0
	for _, i := range picks {
		sum += xs[i]
	}
	return sum / float64(len(picks))
}

// finite is nil for infinity.
func finite(x float64) *float64 {
	if math.IsInf(x, 0) {
		return nil
	}
	return &x
}
