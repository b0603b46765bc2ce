// Package preference is human feedback as data sets have it, pairs of replies of which people preferred one, and the way from there
// to a reward: [Read] reads pairs, [Collector] asks the patched server for the frozen LLM's states at every reply, and what it
// returns is what package head fits a reward on.
//
// It is not for judging replies: that is package head, and in episodes package reward. Asking for states is nearly all of the work,
// so a Collector keeps them in a file and an interrupted one goes on. What Read returns is the caller's; a Collector collects
// once.
package preference
