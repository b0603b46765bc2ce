// Package eval compares ways of answering the same prompts: the base model's greedy and sampled replies, the best of n samples, and
// those that a proxy decided; by reward, by a second one, by a judge, by what the text is like, and by what it costs.
//
//   - [Setting] answers prompts by a [Policy], which gives [Scores].
//   - [Comparison] makes an [Evaluation] of the scores of several, which is what a run's evaluation file holds and reports read.
//   - [Judge] has a model say which of two replies is the better one.
//
// Best-of-n is estimated for every n from one set of N samples to each prompt, as the mean of the best over all subsets of n (see
// [stats.BestOf]); what is said of the reply chosen, its perplexity or a second reward, is the same mean. Intervals are of
// resampled prompts and not of resampled replies: they say what other prompts would have given.
//
// A reply that the server cuts off because one token repeats 30 times is what a user sees, and just what a proxy may learn to
// do: its text is scored like any other and counted under "cut off", and no pair is left out. Without a final record its
// rejections and forwards are unknown, so those figures are of the other replies.
//
// A prompt is left out of all policies, with all of its draws, if a reward failed on a reply to it, and is counted: no number may
// stand for one that is not there. More than [Setting.MaxDropped] of them end the evaluation.
//
// The package is not for choosing what is trained on, and it draws no conclusions beyond its intervals: prompts must be held out by
// the caller. Its values are plain data; share them between goroutines only for reading.
package eval
