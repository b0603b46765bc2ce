// Package rl holds what the trainer's algorithms share: episodes of decisions,
// advantages over them, estimates of KL divergence, and running statistics that
// can be merged and saved.
//
// It is not for learning itself (see trainer/ppo and trainer/sac), not for
// talking to the server, and it does not know what a reward means.
//
// # Time is counted in tokens
//
// A reply has positions (its tokens), and a position has one decision for each
// candidate that the proxy was asked about: several after rejections, none where
// the token was forced. Discounting per decision would make a rejection buy time:
// a reward would look further away, or bootstrapping would pay for long chains.
// So gamma and lambda apply per token: between two decisions k tokens apart stands
// gamma^k·lambda^k, which is 1 at the same position.
//
// Plain values and functions: nothing here is safe for concurrent writes, and
// everything can be read by many goroutines while nobody writes.
package rl
