package eval

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// addStates asks for the states of the replies that came without, where a reward judges by them.
func (s Setting) addStates(ctx context.Context, llm env.LLM, out *Scores, samples []reward.Sample) error {
	if reward.StateLength(s.Reward) == 0 && reward.StateLength(s.Reward2) == 0 {
		return nil
	}
	reader, ok := llm.(env.StateReader)
	if !ok {
		return fmt.Errorf("the reward judges by the model's states, which %T does not give", llm)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(s.Parallel, 1))
	for i := range samples {
		if samples[i].State != nil {
			continue
		}
		g.Go(func() error {
			prompt := out.Replies[i].Prompt
			states, err := reader.States(ctx, out.Policy.Model, prompt.Chat(), out.Replies[i].Text)
			if err != nil {
				return fmt.Errorf("prompt %s: %w", prompt.ID, err)
			}
			samples[i].State = states.Mean
			return nil
		})
	}
	return g.Wait()
}
