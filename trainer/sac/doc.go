// Package sac trains a proxy's actor with discrete soft actor-critic (Christodoulou
// 2019, arXiv 1910.07207) in the form of CleanRL's sac_atari.py: twin critics with
// target networks, a temperature tuned to a target entropy, Adam, and decisions
// replayed from a buffer (package replay).
//
// It is not for collecting episodes, paying rewards or choosing checkpoints, and
// not for serving: [policy.Policy.Proxy] exports what the server runs.
//
// # One update
//
// From a minibatch of decisions (s, a, r, s′), k tokens apart, with the actor π,
// critics Q₁ and Q₂, their targets Q̄₁ and Q̄₂, and the temperature α:
//
//	y      = r + γ^k Σ_a π(a|s′) (min_i Q̄_i(s′,a) − α log π(a|s′)), r after the last decision
//	Q_i:     minimise mean (Q_i(s,a) − y)²
//	π:       minimise mean Σ_a π(a|s) (α log π(a|s) − min_i Q_i(s,a)), with the critics just updated
//	α:       move log α by Adam against α (H − H̄), H the mean entropy of π, H̄ the target
//	Q̄_i  ←   τ Q_i + (1−τ) Q̄_i
//
// # Where it differs from CleanRL
//
//   - Discounting is per token and not per decision (see package rl): two decisions
//     at one position are not discounted at all, so that a rejection buys no time.
//   - Means are over decisions; CleanRL's losses of actor and temperature are means
//     over decisions and actions, half of that.
//   - Gradients are clipped by the norm of each network, as the paper's follow-up does.
//   - Targets follow after every update, and there are UpdatesPerEpisode updates for
//     each reply instead of one for each few steps.
//
// # Updates beside rollouts
//
// [Agent.Add] takes in episodes and notes how many updates are due, [Agent.Update]
// makes them. An Agent is not for concurrent use, but what it exported is: replies
// may be generated with one policy while Update works on the next. The policy that
// collects a batch is then one batch older; nothing depends on the time that either
// takes.
//
// Features are kept as the server sent them and standardised, when they are drawn,
// with the statistics of all that were ever added; [policy.Policy.Proxy] folds those of the
// moment into the first layer.
package sac
