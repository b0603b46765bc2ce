package reward

import "github.com/proxy-rlhf/proxy-rlhf/trainer/stats"

// DefaultN is the n of the reward "distinct".
const DefaultN = 2

// distinct returns distinct-n within the reply (stats.DistinctWithin), from 0
// to 1: the share of n-grams of words that are different from each other. It is
// 1 of a reply that repeats none, such as an empty one, and falls a little with
// the length of any text.
func distinct(n int) textReward {
	return func(text string) float64 { return stats.DistinctWithin(n, []string{text}) }
}

// repetition returns minus the share of sentences that the reply has said before
// (stats.Sentences), from −1 to 0: a text that does not go round in circles costs
// nothing, whatever its length.
func repetition(text string) float64 {
	repeated, total := stats.Sentences(text)
	if repeated == 0 {
		return 0 // and not −0 or NaN
	}
	return -float64(repeated) / float64(total)
}
