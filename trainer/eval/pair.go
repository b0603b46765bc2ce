package eval

import (
	"errors"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
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
	for i, s := range scores {
		out[i] = s.only(common)
	}
	return out, nil
}

// only returns the scores on some of the prompts that were judged.
func (s *Scores) only(prompts []int) *Scores {
	out := *s
	out.Judged, out.Replies, out.Rewards = prompts, nil, nil
	out.Terms = make([]reward.Term, len(s.Terms))
	for i, t := range s.Terms {
		out.Terms[i].Name = t.Name
	}
	for n, prompt := range s.Judged {
		if !slices.Contains(prompts, prompt) {
			continue
		}
		out.Replies, out.Rewards = append(out.Replies, s.Replies[n]), append(out.Rewards, s.Rewards[n])
		for i, t := range s.Terms {
			out.Terms[i].Scores = append(out.Terms[i].Scores, t.Scores[n])
		}
	}
	return &out
}
