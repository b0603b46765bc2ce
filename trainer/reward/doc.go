// Package reward gives one number to each reply of an episode: the reward that
// the proxy is trained to raise.
//
// Built in are sentiment (vader), matches of a regular expression (regexp),
// length (length), variety (distinct, repetition), weighted words (lexicon), a
// head trained on human feedback over the LLM's own states (head), a reward model
// behind HTTP (http), a language model that judges (ollama), a program of one's
// own (command), and weighted sums of these (sum). A Spec describes one in
// configuration, New builds it:
//
//	r, err := reward.New(reward.Spec{Type: reward.TypeVADER})
//	judgement, err := reward.Judge(ctx, r, samples, 0.25)
//
// A reward that can be had on a prefix of a reply is a Prefixer as well, and
// Dense turns it into one reward per token. For VADER that decided between
// learning and not learning.
//
// What cannot be scored is never 0, since 0 would be learnt from. Where all of a
// batch fails that is an error; where some samples do, Score returns a
// PartialError, which is one to whoever does not know better, and Judge leaves
// them out, up to a limit, and says which.
//
// The package is not for advantages, discounts, costs of a rejection or
// normalisation of rewards: those belong to the algorithms.
//
// Rewards may be used by several goroutines at once. Their scores do not depend
// on the order or on the company of samples, save those of http and command,
// which are whatever the other side says.
package reward
