// Package ppo trains a proxy's actor and a critic with proximal policy
// optimisation (Schulman et al. 2017), in the form of CleanRL's ppo.py: clipped
// surrogate, entropy bonus, generalised advantages, normalised advantages, Adam
// and gradients clipped by their global norm.
//
// It is not for collecting episodes, paying rewards or choosing checkpoints, and
// not for serving: [policy.Policy.Proxy] exports what the server runs.
//
// # Where it differs from CleanRL
//
//   - Discounting is per token and not per decision (see package rl).
//   - Actor and critic have a learning rate each, and their gradients are clipped
//     apart. They share no layer, so a coefficient of the value loss would scale a
//     gradient that Adam rescales again; there is none.
//   - The value loss is not clipped.
//   - A batch is cut into minibatches whose sizes differ by one at most, so that
//     no tail of a few rows gets a step of its own and no row is dropped.
//   - Losses are means over all minibatches of an update, not the last one's.
//
// # Standardised features
//
// The networks see (feature − mean) / deviation. The statistics belong to the
// policy: [policy.Policy.Proxy] folds them into the first layer, so whoever acts with the
// exported proxy acts with the statistics of that moment. [Agent.Update]
// therefore uses the statistics as they were when the batch was collected (the
// first minibatch has a ratio of 1) and only then adds the batch to them. The
// policy to collect the next batch with is the one exported after Update. For the
// first batch, give [policy.Policy.Observe] some features before the first export;
// without, features go in as they are until the second batch.
//
// # A group as the baseline
//
// With a GroupSize there is no critic: several replies to one prompt are each
// other's baseline, and the advantage of every decision of a reply is
//
//	A = G − mean of G over the replies to the same prompt,  G = Σ γ^token · reward
//
// which is GRPO's (Shao et al. 2024) for rewards of whole replies without the
// division by the group's deviation (NormAdv divides by the minibatch's), and RLOO's
// (Ahmadian et al. 2024) up to the factor (n−1)/n for n replies. Episodes of one
// Prompt are a group; a reply that is alone in its group has an advantage of 0. It
// needs no values to be learnt and half the time and memory, and gives no decision
// more credit than another.
//
// # Graphs
//
// Losses and gradients are Gorgonia's, in fixed shapes, and the optimiser is ours:
// see package nn.
//
// An [Agent] is not for concurrent use. Two agents may be used at the same time.
package ppo
