package learn

import (
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// objectiveMetrics adds TRL's objective metrics, computed as its PPO trainer does: sums over a reply's tokens, then the mean
// over replies. TRL's policy is an LLM and its reference another; here the policy q is the LLM with its exploring proxy, and
// the reference p the LLM alone, sampling from the same pool. Token j of a pool is reached by rejecting those before it, so
//
//	log q(j) = log π(accept|j) + Σ log π(reject|i) over i < j,    log p(j) = log of its probability in the pool
//
// where a forced candidate is accepted with probability 1.
func objectiveMetrics(m map[string]float64, paid Paid) {
	n := len(paid.Replies)
	if n == 0 {
		return
	}
	scores, kl, entropy := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range paid.Replies {
		logQ, logP := logProbabilities(paid.Replies[i].Decisions)
		scores[i], kl[i], entropy[i] = paid.Episodes[i].Return, logQ-logP, -logQ
	}
	m["objective/scores"] = stats.Mean(scores)
	m["objective/kl"] = stats.Mean(kl)
	m["objective/entropy"] = stats.Mean(entropy)
	m["objective/non_score_reward"] = 0 - stats.Mean(paid.Charged)
	m["objective/rlhf_reward"] = m["objective/scores"] + m["objective/non_score_reward"]
}

// logProbabilities are those of a reply under policy and reference.
func logProbabilities(decisions []wire.Decision) (logQ, logP float64) {
	for _, d := range decisions {
		switch d.Action {
		case wire.Reject:
			logQ += math.Log1p(-*d.Accept)
			continue
		case wire.Accept:
			logQ += math.Log(*d.Accept)
		}
		logP += math.Log(d.Prob)
	}
	return logQ, logP
}
