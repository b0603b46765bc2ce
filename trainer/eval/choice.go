package eval

import (
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// choice is one reply to each prompt, chosen from those that were drawn. Figures of it are means over what chance may choose.
type choice struct {
	name     string
	scores   *Scores
	measured []measures // of each reply
	// weights are the chances of each reply; those of a prompt add up to 1.
	weights []float64
	// n is how many replies are generated to choose one from.
	n int
}

// anyOf chooses any of the replies to a prompt: the policy as it is, whatever the number of draws.
func anyOf(s *Scores) choice {
	c := choice{name: s.Policy.Name, scores: s, measured: make([]measures, len(s.Replies)), weights: make([]float64, len(s.Replies)), n: 1}
	for i := range s.Replies {
		c.measured[i] = measure(&s.Replies[i])
		c.weights[i] = 1 / float64(s.draws())
	}
	return c
}

// bestOf chooses the one with the highest reward from n of the replies to a prompt.
func (c choice) bestOf(n int, name string) (choice, error) {
	out := choice{name: name, scores: c.scores, measured: c.measured, n: n}
	draws := c.scores.draws()
	for from := 0; from < len(c.scores.Rewards); from += draws {
		weights, err := stats.BestOf(c.scores.Rewards[from:from+draws], n)
		if err != nil {
			return choice{}, err
		}
		out.weights = append(out.weights, weights...)
	}
	return out, nil
}

// perPrompt is the mean of a number for each reply, prompt by prompt.
func (c choice) perPrompt(of func(reply int) float64) []float64 {
	draws := c.scores.draws()
	out := make([]float64, c.scores.prompts())
	for i, w := range c.weights {
		out[i/draws] += w * of(i)
	}
	return out
}

// total is the sum over prompts of the mean of a measure.
func (c choice) total(of func(m measures) float64) float64 {
	sum := 0.0
	for i, w := range c.weights {
		sum += w * of(c.measured[i])
	}
	return sum
}

// share is the total of one measure in that of another.
func (c choice) share(part, whole func(m measures) float64) float64 {
	return share(c.total(part), c.total(whole))
}

// perplexity is that of all tokens together under the base model; NaN without tokens.
func (c choice) perplexity() float64 {
	return math.Exp(c.total(func(m measures) float64 { return m.nll }) / c.total(func(m measures) float64 { return m.likely }))
}

// cost is that of n draws, those not chosen included.
func (c choice) cost() Cost {
	var counted, forwards, prompt float64
	for _, m := range c.measured {
		counted += m.counted
		forwards += m.forwards
		prompt += m.counted * m.promptTokens
	}
	n := float64(c.n)
	return Cost{Forwards: n * share(forwards, counted), Prompt: share(prompt, counted) + n - 1}
}
