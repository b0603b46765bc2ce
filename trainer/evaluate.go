package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
)

const evaluationFile = "evaluation.json"

// evaluation is what a run's evaluation file holds, the baseline first.
type evaluation struct {
	Summaries []eval.Summary `json:"summaries"`
	Prompts   int            `json:"prompts"`
	// Dropped are further prompts, left out since the reward failed on a reply to them.
	Dropped int `json:"dropped"`
	// Samples are the first few held-out prompts on which the policies' rewards differ.
	Samples []sample `json:"samples"`
}

type sample struct {
	Prompt  string    `json:"prompt"`
	Replies []string  `json:"replies"`
	Rewards []float64 `json:"rewards"`
}

func evalCommand() *cobra.Command {
	return configured("eval", "Compare the exported proxy with base greedy on the held-out prompts", func(ctx context.Context, c config.Config) error {
		s, err := reopen(ctx, c)
		if err != nil {
			return err
		}
		defer s.close()
		return s.evaluate(ctx)
	})
}

// evaluate attaches the run's proxy to the model as a user would, answers the held-out prompts with and without it, writes the
// evaluation file and prints it.
func (s *session) evaluate(ctx context.Context) error {
	if len(s.heldOut) == 0 {
		return fmt.Errorf("prompts.hold_out: no prompts are held out of %s, so there is nothing to evaluate on", s.config.Prompts.Path)
	}
	name, err := s.attach(ctx)
	if err != nil {
		return err
	}
	policies := []eval.Policy{eval.Greedy(s.config.Model), {Name: "proxy", Model: name}}
	for _, p := range policies {
		if err := s.client.Load(ctx, p.Model); err != nil {
			return err
		}
	}
	report := &progress{}
	defer report.finish()
	var scores []*eval.Scores
	for _, p := range policies {
		report.Phase("evaluate "+p.Name, len(s.heldOut))
		setting := eval.Setting{
			Prompts: s.heldOut, Tokens: s.config.Tokens, Parallel: s.config.Ollama.Parallel,
			Reward: s.reward, MaxDropped: s.config.RewardMaxDropped,
			Progress: func() { report.Reply(nil) },
		}
		result, err := setting.Run(ctx, s.client, p)
		if err != nil {
			return err
		}
		scores = append(scores, result)
	}
	report.finish()
	if scores, err = eval.Pair(scores); err != nil {
		return err
	}
	out := evaluation{Prompts: len(scores[0].Judged)}
	out.Dropped = len(s.heldOut) - out.Prompts
	for _, sc := range scores {
		summary, err := eval.Summarise(sc, scores[0], s.config.Eval.BootstrapSamples, s.config.Seed)
		if err != nil {
			return err
		}
		out.Summaries = append(out.Summaries, summary)
	}
	out.addSamples(scores)
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	if err := s.folder.WriteFile(evaluationFile, append(data, '\n')); err != nil {
		return err
	}
	out.print()
	return nil
}

// attach creates the run's model in the server's store: the base with the exported proxy as its adapter.
func (s *session) attach(ctx context.Context) (string, error) {
	path := s.folder.Path(proxyFile)
	if !exists(path) {
		return "", fmt.Errorf("%s: there is no proxy yet: run proxy-trainer train first", path)
	}
	digest, err := s.client.PushFile(ctx, path)
	if err != nil {
		return "", err
	}
	return s.config.Name, s.client.Create(ctx, s.config.Name, s.config.Model, "", digest)
}

func (e *evaluation) addSamples(scores []*eval.Scores) {
	const shown = 3
	for i := range e.Prompts {
		if len(e.Samples) == shown {
			return
		}
		if scores[0].Rewards[i] == scores[len(scores)-1].Rewards[i] {
			continue
		}
		one := sample{Prompt: scores[0].Replies[i].Prompt.Text}
		for _, sc := range scores {
			one.Replies = append(one.Replies, sc.Replies[i].Text)
			one.Rewards = append(one.Rewards, sc.Rewards[i])
		}
		e.Samples = append(e.Samples, one)
	}
}

func (e *evaluation) print() {
	fmt.Printf("\n%d held-out prompts", e.Prompts)
	if e.Dropped > 0 {
		fmt.Printf(" (%d more left out: the reward failed on a reply to them)", e.Dropped)
	}
	fmt.Print("\n\n")
	eval.WriteTable(os.Stdout, e.Summaries)
	for _, one := range e.Samples {
		fmt.Printf("\n%s\n", one.Prompt)
		for i, reply := range one.Replies {
			fmt.Printf("  %-12s %+.2f  %q\n", e.Summaries[i].Policy, one.Rewards[i], reply)
		}
	}
}
