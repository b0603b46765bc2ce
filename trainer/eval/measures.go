package eval

import (
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// measures is what can be counted in one reply. Shares are two of them: how often, and out of how many.
type measures struct {
	one          float64 // 1: there is this reply
	tokens       float64
	promptTokens float64

	// nll is the sum of the negative log-likelihoods of likely tokens under the base model.
	nll, likely float64

	// Replies without a final record are not counted: counted is 0, and so are the others.
	counted, countedTokens, rejected, forwards float64

	sentences, repeated     float64
	distinct1, hasDistinct1 float64
	distinct2, hasDistinct2 float64
	refusal, cut            float64
}

func measure(r *env.Reply) measures {
	m := measures{one: 1, tokens: float64(r.Tokens), promptTokens: float64(r.PromptTokens)}
	mean, likely := r.NLL()
	m.nll, m.likely = mean*float64(likely), float64(likely)
	switch {
	case r.DoneReason == env.DoneCut:
		m.cut = 1
	case r.Proxy == nil:
		m.counted, m.countedTokens, m.forwards = 1, m.tokens, m.tokens
	default:
		m.counted, m.countedTokens = 1, m.tokens
		m.rejected, m.forwards = float64(r.Proxy.Rejected), float64(r.Proxy.Forwards)
	}
	repeated, sentences := stats.Sentences(r.Text)
	m.repeated, m.sentences = float64(repeated), float64(sentences)
	m.distinct1, m.hasDistinct1 = distinct(1, r.Text)
	m.distinct2, m.hasDistinct2 = distinct(2, r.Text)
	if IsRefusal(r.Text) {
		m.refusal = 1
	}
	return m
}

// distinct is distinct-n of one text, and 1 if the text has an n-gram.
func distinct(n int, text string) (share, has float64) {
	different, total := stats.NGrams(n, text)
	if total == 0 {
		return 0, 0
	}
	return float64(different) / float64(total), 1
}

// meanNLL is the mean negative log-likelihood of a token, in nats; 0 of a reply without one.
func (m measures) meanNLL() float64 { return share(m.nll, m.likely) }

// share is part of whole, and 0 of nothing.
func share(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}
