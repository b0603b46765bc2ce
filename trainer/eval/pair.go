package eval

import (
	"errors"
	"slices"
)

// Pair keeps of the scores of several policies in one setting the prompts on which each has a reward, so that all are compared
// on the same ones: number i of one is then to the same prompt as number i of another.
func Pair(scores []*Scores) ([]*Scores, error) {
	common := slices.Clone(scores[0].Judged)
	for _, s := range scores[1:] {
		common = slices.DeleteFunc(common, func(i int) bool { return !slices.Contains(s.Judged, i) })
	}
	if len(common) == 0 {
		return nil, errors.New("evaluate: there is no prompt on which all policies have a reward")
	}
	out := make([]*Scores, len(scores))
	for k, s := range scores {
		kept := *s
		kept.Judged, kept.Replies, kept.Rewards = common, nil, nil
		for n, i := range s.Judged {
			if slices.Contains(common, i) {
				kept.Replies, kept.Rewards = append(kept.Replies, s.Replies[n]), append(kept.Rewards, s.Rewards[n])
			}
		}
		out[k] = &kept
	}
	return out, nil
}
