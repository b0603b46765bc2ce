package eval

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// addStates asks for the states of the replies that came without, where the reward judges by them.
func (s Setting) addStates(ctx context.Context, llm env.LLM, p Policy, replies []env.Reply, samples []reward.Sample) error {
	if reward.StateLength(s.Reward) == 0 {
		return nil
	}
	reader, ok := llm.(env.StateReader)
	if !ok {
		return fmt.Errorf("evaluate %s: the reward judges by the model's states, which %T does not give", p.Name, llm)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(s.Parallel, 1))
	for i := range samples {
		if samples[i].State != nil {
			continue
		}
		g.Go(func() error {
			states, err := reader.States(ctx, p.Model, replies[i].Prompt.Chat(), replies[i].Text)
			if err != nil {
				return fmt.Errorf("evaluate %s: prompt %s: %w", p.Name, replies[i].Prompt.ID, err)
			}
			samples[i].State = states.Mean
			return nil
		})
	}
	return g.Wait()
}
