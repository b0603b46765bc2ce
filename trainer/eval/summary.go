package eval

import (
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// Summary is one row of a report. Its JSON names do not change; new ones may be added.
type Summary struct {
	Policy string `json:"policy"`
	Score
	// Second is the score by the second reward; nil without one. Best-of-n is chosen by the first.
	Second *Score `json:"reward2,omitempty"`
	// Judge is nil where no judge was asked.
	Judge *Judgement `json:"judge,omitempty"`

	Tokens     float64 `json:"tokens"`     // mean length of a reply
	Perplexity float64 `json:"perplexity"` // of all replies' tokens under the base model
	// TextGuard is the share of replies that are less likely, a token, than 95 of 100 samples of the base model: .05 is what
	// sampling itself has. nil without samples to compare with.
	TextGuard *float64 `json:"text_guard,omitempty"`
	Distinct1 float64  `json:"distinct_1"` // within a reply, as the next one
	Distinct2 float64  `json:"distinct_2"`
	// RepeatedSentences is the share of sentences that have stood in the same reply before.
	RepeatedSentences float64 `json:"repeated_sentences"`
	Refusals          float64 `json:"refusals"` // share of replies, see [IsRefusal]
	CutOff            float64 `json:"cut_off"`  // share of replies that the server ended because one token repeated

	Rejections float64 `json:"rejections_per_token"`
	Forwards   float64 `json:"forwards_per_token"` // of best-of-n: those of all n for a token of the one chosen
	Cost       Cost    `json:"cost"`
	// TokensPerSecond is of all replies together, prompts included; of best-of-n only the replies chosen count.
	TokensPerSecond float64 `json:"tokens_per_second"`

	// Histogram is of the rewards, all rows with the same edges (the paper's figure 2a); best-of-n has none.
	Histogram *stats.Histogram `json:"histogram,omitempty"`
}

// Score is what a reward says of a policy, and of it beside the baseline, prompt by prompt.
type Score struct {
	Reward stats.Interval `json:"reward"`
	// Gain is the paired difference to the baseline; zero for the baseline itself.
	Gain stats.Interval `json:"gain"`
	// WinRate is the share of prompts on which the reward is above the baseline's, a tie counting half.
	WinRate         float64        `json:"win_rate"`
	WinRateInterval stats.Interval `json:"win_rate_interval"`
}

// Cost is what one reply takes of the LLM, in tokens that pass through it.
type Cost struct {
	// Forwards are those after the prompt: of best-of-n all n replies', of a lookahead proxy those of rejected tokens too.
	Forwards float64 `json:"forwards"`
	// Prompt is the prompt, once, and its last token again for each further draw, as it is while a slot holds it. The server
	// does not say what its cache spared.
	Prompt float64 `json:"prompt"`
}

// summarise describes a choice beside the baseline, which may be the same. resamples and seed are the bootstrap's; guard is the
// highest mean negative log-likelihood that the text guard lets pass, nil without one.
func (c choice) summarise(baseline choice, guard *float64, resamples int, seed uint64) (Summary, error) {
	out := Summary{Policy: c.name}
	fail := func(err error) (Summary, error) { return out, fmt.Errorf("evaluate %s: %w", c.name, err) }
	var err error
	if out.Score, err = c.score(c.scores.Rewards, baseline, baseline.scores.Rewards, resamples, seed); err != nil {
		return fail(err)
	}
	if c.scores.Rewards2 != nil {
		second, err := c.score(c.scores.Rewards2, baseline, baseline.scores.Rewards2, resamples, seed)
		if err != nil {
			return fail(err)
		}
		out.Second = &second
	}
	if out.Perplexity = c.perplexity(); math.IsNaN(out.Perplexity) {
		return fail(fmt.Errorf("no reply has a token to compute a perplexity of"))
	}
	c.describe(&out)
	if guard != nil {
		above := c.total(func(m measures) float64 {
			if m.meanNLL() > *guard {
				return 1
			}
			return 0
		}) / float64(c.scores.prompts())
		out.TextGuard = &above
	}
	return out, nil
}

// score compares with a baseline that has one reply to each prompt.
func (c choice) score(rewards []float64, baseline choice, theirs []float64, resamples int, seed uint64) (out Score, err error) {
	own := c.perPrompt(func(i int) float64 { return rewards[i] })
	base := baseline.perPrompt(func(i int) float64 { return theirs[i] })
	if out.Reward, err = stats.Bootstrap(own, resamples, seed); err != nil {
		return out, err
	}
	if out.Gain, err = stats.PairedBootstrap(own, base, resamples, seed); err != nil {
		return out, err
	}
	draws := c.scores.draws()
	wins := c.perPrompt(func(i int) float64 {
		switch {
		case rewards[i] > base[i/draws]:
			return 1
		case rewards[i] == base[i/draws]:
			return 0.5
		}
		return 0
	})
	out.WinRateInterval, err = stats.Bootstrap(wins, resamples, seed)
	out.WinRate = out.WinRateInterval.Mean
	return out, err
}

// describe fills in what the text is like and what it costs.
func (c choice) describe(out *Summary) {
	one := func(m measures) float64 { return m.one }
	tokens := func(m measures) float64 { return m.tokens }
	out.Tokens = c.share(tokens, one)
	out.Distinct1 = c.distinct(func(m measures) (float64, float64) { return m.distinct1, m.hasDistinct1 })
	out.Distinct2 = c.distinct(func(m measures) (float64, float64) { return m.distinct2, m.hasDistinct2 })
	out.RepeatedSentences = c.share(func(m measures) float64 { return m.repeated }, func(m measures) float64 { return m.sentences })
	out.Refusals = c.share(func(m measures) float64 { return m.refusal }, one)
	out.CutOff = c.share(func(m measures) float64 { return m.cut }, one)

	counted := func(m measures) float64 { return m.countedTokens }
	out.Cost = c.cost()
	out.Rejections = c.share(func(m measures) float64 { return m.rejected }, counted)
	out.Forwards = c.share(func(m measures) float64 { return m.forwards }, counted)
	if c.n > 1 {
		out.Forwards = share(out.Cost.Forwards, out.Tokens)
	}
	took := c.scores.Wall.Seconds() * float64(c.n) / float64(c.scores.draws())
	out.TokensPerSecond = c.total(tokens) / took
}

// distinct is the mean over replies that have an n-gram, and 1 if none has: nothing was repeated.
func (c choice) distinct(of func(m measures) (value, has float64)) float64 {
	has := c.total(func(m measures) float64 { _, h := of(m); return h })
	if has == 0 {
		return 1
	}
	return c.total(func(m measures) float64 { v, _ := of(m); return v }) / has
}
