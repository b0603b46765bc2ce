// Package reward gives one number to each reply of an episode: the reward that
// the proxy is trained to raise.
//
// Built in are sentiment (vader), matches of a regular expression (regexp),
// length (length), a reward model behind HTTP (http), and weighted sums of
// these (sum). A Spec describes one in configuration, New builds it:
//
//	r, err := reward.New(reward.Spec{Type: reward.TypeVADER})
//	scores, err := r.Score(ctx, samples)
//
// A reward that can be had on a prefix of a reply is a Prefixer as well, and
// Dense turns it into one reward per token. For VADER that decided between
// learning and not learning.
//
// The package is not for advantages, discounts, costs of a rejection or
// normalisation of rewards: those belong to the algorithms. It neither drops
// nor repairs samples: what cannot be scored is an error, never 0, since 0
// would be learnt from.
//
// Rewards are immutable once built and may be used by several goroutines at
// once. Their scores do not depend on the order or on the company of samples,
// save those of http, which are whatever the server says.
package reward
