package config

import (
	"fmt"
	"math"
)

// smallVocabulary is about the number of tokens of the smallest vocabularies in
// use (Llama 2's).
const smallVocabulary = 32000

// manyCandidates is a pool size that is common where the LLM is unsure: p_t
// should leave a choice there.
const manyCandidates = 10

// Warnings says, in sentences for the user, where a valid configuration leaves
// the proxy nothing or little to decide, or lets it do harm. The mean probability
// of n untouched candidates is 1/n, and no rejection is allowed where that is p_t
// or less: so p_t decides up to which n there is a choice (the paper's section
// 3.1).
func (c Config) Warnings() []string {
	if w := c.Proxy.noChoice(); w != "" {
		return []string{w}
	}
	var out []string
	for _, w := range []string{c.Proxy.littleChoice(), c.Proxy.irregular(), c.Proxy.withoutEffect(), c.paidRejections()} {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

// paidRejections returns a warning if SAC earns by rejecting: each rejection adds a
// decision at the same token, whose entropy is paid without a discount.
func (c Config) paidRejections() string {
	most := c.SAC.Alpha * math.Ln2
	if c.Algorithm != SAC || c.RejectionCost >= most {
		return ""
	}
	return fmt.Sprintf(
		"with algorithm sac a rejection costs rejection_cost %v and earns an entropy of up to sac.alpha·ln 2 = %.2g, so the proxy learns to reject too much: raise rejection_cost to more than that, or lower sac.alpha; what worked for direct.yaml is rejection_cost 0.1, sac.alpha 0.02 and sac.autotune false",
		c.RejectionCost, most)
}

// littleChoice returns a warning if p_t forbids rejections where the LLM is unsure.
func (p Proxy) littleChoice() string {
	switch {
	case p.PT >= 1.0/manyCandidates:
		return fmt.Sprintf(
			"proxy.p_t %v leaves no choice where the pool has %.0f candidates or more, and these are the positions where there is most to choose; 0.01 leaves it up to 100",
			p.PT, math.Ceil(1/p.PT))
	case p.PT >= 0.05 && p.Temperature > 1:
		return fmt.Sprintf(
			"with proxy.p_t %v a proxy.temperature above 1, here %v, leaves less choice and not more: it fills the pool beyond the %.0f candidates from which on nothing may be rejected; lower p_t to 0.01",
			p.PT, p.Temperature, math.Ceil(1/p.PT))
	}
	return ""
}

// irregular returns a warning if rejections may reach tokens that the LLM itself
// would hardly ever write: the mechanism behind the paper's Table 4. At p_t 0.0001
// they reach one of a probability below 0.001 at a third of all positions.
func (p Proxy) irregular() string {
	if p.PT >= tinyPT || p.Temperature < 1 || p.TopK > 0 || p.MinP > 0 || p.MaxRejections > 0 {
		return ""
	}
	return fmt.Sprintf(
		"proxy.p_t %v at proxy.temperature %v lets rejections reach tokens that the LLM would hardly ever write, and replies can be garbled (the paper's Table 4); 0.01 does not, nor does a temperature of 0.8",
		p.PT, p.Temperature)
}

// tinyPT is a p_t below which it matters what else bounds the pool.
const tinyPT = 0.001

// withoutEffect returns a warning if a knob does nothing, or what it is for is
// undone by another.
func (p Proxy) withoutEffect() string {
	switch {
	case p.Cutoff == 0:
		return "with proxy.cutoff 0 the served proxy accepts every token, whatever it was trained to do; 0.5 is usual"
	case p.TopK > 0 && p.PT < tinyPT:
		return fmt.Sprintf(
			"with proxy.top_k %d a proxy.p_t of %v rejects no more than one of 0.001 does; set top_k to 0 if p_t is to bound the rejections, as in the paper's Figure 3",
			p.TopK, p.PT)
	}
	return ""
}

// noChoice returns a warning if no rejection is possible at any position.
func (p Proxy) noChoice() string {
	const off = "the proxy is never asked: "
	switch {
	case p.Temperature == 0:
		return off + "proxy.temperature 0 leaves one candidate; 0.8 is usual"
	case p.TopK == 1:
		return off + "proxy.top_k 1 leaves one candidate; set it to 0"
	case p.TopP <= 0:
		return off + "proxy.top_p 0 leaves one candidate; 0.9 is usual"
	case p.MinP >= 1:
		return off + "proxy.min_p 1 leaves the first candidate only; 0 is usual"
	case p.PT >= 0.5:
		return off + fmt.Sprintf("with proxy.p_t %v not even the first of two candidates may be rejected; 0.01 is usual", p.PT)
	case p.TopP < 1 || p.MinP > 0 || p.PT == 0:
		return ""
	case p.TopK > 0 && p.PT*float64(p.TopK) >= 1:
		return off + fmt.Sprintf("with proxy.top_p 1 there are always proxy.top_k %d candidates, whose mean probability %.2g is not above proxy.p_t %v; set top_k to 0 and top_p to 0.9, or lower p_t",
			p.TopK, 1/float64(p.TopK), p.PT)
	case p.TopK == 0 && p.PT*smallVocabulary >= 1:
		return off + fmt.Sprintf("with proxy.top_p 1 and top_k 0 the whole vocabulary is in the pool, whose mean probability is below proxy.p_t %v; set top_p to 0.9",
			p.PT)
	}
	return ""
}
