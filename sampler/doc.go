// Package sampler is SKAM, the Stable Knowledge-Aware Module of Proxy-RLHF
// (arXiv 2403.04283, section 2): at one position of a reply it turns a
// language model's logits into the pool of candidate tokens, hands them out in
// descending order of probability, and says when rejecting the current one is
// no longer allowed.
//
// Per position and sequence:
//
//	pool.Build(logits, options)  // the pool T
//	walk.Start(&pool)            // T' = T, the candidate is its first token
//	walk.Forced()                // is rejection masked?
//	walk.Reject()                // T' loses its first token
//
// # What it computes
//
// The order of operations is Ollama's: top-k, temperature, softmax, top-p,
// min-p. All arithmetic that decides something is float64 and is defined to
// the last bit, so that a replay of the same logits gives the same pool and
// the same forced positions. With the tokens in order of descending logit,
// ties by ascending token id, tokens of logit -Inf (a grammar's mask) left
// out, the first TopK of them kept, and z_0 the largest logit:
//
//	w_i = exp((z_i - z_0) / Temperature)    so w_0 = 1
//	Z   = sum of all w_i, added up from the smallest
//	top-p: keep up to and including the first i with w_0 + ... + w_i > TopP*Z,
//	       added up from the largest
//	min-p: cut at the first i with w_i < MinP
//	S   = sum of the w_i that are left, added up from the smallest
//	probability of candidate i = w_i / S
//
// With n candidates and s_i = w_(n-1) + ... + w_i, added up from the smallest,
// rejection of candidate i is masked when
//
//	s_i <= (PT * (n-i)) * S    or    i = n-1
//
// which is the paper's rule, sum(p over T') <= p_t*|T'|. Written in weights it
// is exact where it matters most: s_0 is S, so the mean of an untouched pool
// is 1/n and not something a rounding away from it.
//
// math.Exp is not correctly rounded and differs between processor
// architectures in the last bit; a replay is exact on the same architecture.
//
// # What it is not for
//
// It neither draws random numbers nor knows the proxy: who accepts and who
// rejects is the caller's business, as is the grammar, which masks logits with
// -Inf before Build. It is no replacement for a sampler without a proxy.
//
// # Goroutines
//
// Options is a plain value. A [Pool] and the [Walk] over it are the scratch of
// one sequence: one goroutine at a time. Different pools share nothing. Build
// only reads the logits and does not keep them.
package sampler
