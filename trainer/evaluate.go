package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
)

// What is compared where eval.policies does not say: the demo is to be quick.
var (
	demoPolicies = []string{config.PolicyGreedy, config.PolicyProxy}
	evalPolicies = []string{config.PolicyGreedy, config.PolicySample, config.PolicyProxy}
)

func evalCommand() *cobra.Command {
	var markdown bool
	cmd := configured("eval", "Compare the exported proxy with greedy decoding, sampling and best-of-n on the held-out prompts", func(ctx context.Context, c config.Config) error {
		s, err := reopen(ctx, c)
		if err != nil {
			return err
		}
		defer s.close()
		e, err := s.evaluate(ctx, evalPolicies)
		if err != nil {
			return err
		}
		style := eval.Plain
		if markdown {
			style = eval.Markdown
		}
		printEvaluation(e, style)
		return nil
	})
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the tables as Markdown")
	return cmd
}

// evaluate answers the held-out prompts with every policy, the run's proxy attached to the model as a user would, and writes the
// evaluation file.
func (s *session) evaluate(ctx context.Context, fallback []string) (*eval.Evaluation, error) {
	if len(s.heldOut) == 0 {
		return nil, fmt.Errorf("prompts.hold_out: no prompts are held out of %s, so there is nothing to evaluate on", s.config.Prompts.Path)
	}
	judge, err := s.judge(ctx)
	if err != nil {
		return nil, err
	}
	asked := s.config.Eval.Policies
	if len(asked) == 0 {
		asked = fallback
	}
	report := &progress{parallel: s.config.Ollama.Parallel}
	defer report.finish()
	comparison, err := s.compare(ctx, asked, report)
	if err != nil {
		return nil, err
	}
	e, err := comparison.Evaluate()
	if err != nil {
		return nil, err
	}
	if judge != nil {
		report.Phase("judge by "+judge.Model, comparison.Questions(e))
		judge.Progress = func() { report.Reply(nil) }
		if err := comparison.Judge(ctx, *judge, e); err != nil {
			return nil, err
		}
	}
	report.finish()
	e.Reward = s.config.Reward.Type
	if r := s.config.Eval.Reward2; r != nil {
		e.Reward2 = r.Type
	}
	data, err := e.JSON()
	if err != nil {
		return nil, err
	}
	return e, s.folder.WriteFile(eval.File, data)
}

// compare runs the policies asked for, greedy decoding always.
func (s *session) compare(ctx context.Context, asked []string, report *progress) (eval.Comparison, error) {
	o := s.config.Eval
	out := eval.Comparison{
		BestOf: o.BestOf, ShowSampling: slices.Contains(asked, config.PolicySample),
		Resamples: o.BootstrapSamples, Seed: s.config.Seed,
	}
	run := func(p eval.Policy) (*eval.Scores, error) {
		// Every server, so that no reply's time is that of a model being loaded.
		if err := s.each(ctx, func(c *env.Client) error { return c.Load(ctx, p.Model) }); err != nil {
			return nil, err
		}
		report.Phase("evaluate "+p.Name, len(s.heldOut)*max(p.Draws, 1))
		setting := eval.Setting{
			Prompts: s.heldOut, Tokens: s.config.Tokens, Parallel: s.config.Ollama.Parallel,
			Reward: s.reward, Reward2: s.reward2, MaxDropped: s.config.RewardMaxDropped, Seed: s.config.Seed,
			Progress: func() { report.Reply(nil) },
		}
		return setting.Run(ctx, s.llm, p)
	}
	withProxy := slices.Contains(asked, config.PolicyProxy)
	name := ""
	var err error
	if withProxy {
		// First, so that a proxy that is not there is known at once.
		if name, err = s.attach(ctx); err != nil {
			return out, err
		}
	}
	if out.Greedy, err = run(eval.Greedy(s.config.Model)); err != nil {
		return out, err
	}
	if out.ShowSampling || len(o.BestOf) > 0 {
		draws := slices.Max(append([]int{1}, o.BestOf...))
		if out.Sampling, err = run(eval.Sampling(s.config.Model, o.SampleTemperature, o.SampleTopP, o.SampleTopK, draws)); err != nil {
			return out, err
		}
	}
	if withProxy {
		if out.Proxy, err = run(eval.Proxied(name)); err != nil {
			return out, err
		}
	}
	return out.Paired()
}

// judge makes the judge that the configuration asks for, nil if none. A model that is not there is an error before the first reply.
func (s *session) judge(ctx context.Context) (*eval.Judge, error) {
	j := s.config.Eval.Judge
	if j == nil {
		return nil, nil
	}
	client := s.client
	if j.Host != "" {
		var err error
		if client, err = env.NewClient(j.Host); err != nil {
			return nil, fmt.Errorf("eval.judge: %w", err)
		}
		client.Timeout = s.config.Ollama.Timeout
	}
	if has, err := client.Has(ctx, j.Model); err != nil {
		return nil, fmt.Errorf("eval.judge: %w", err)
	} else if !has {
		return nil, fmt.Errorf("eval.judge: the server at %s has no model %q: pull it there, or set host to a server that has it", client.Host(), j.Model)
	}
	o := s.config.Ollama
	return &eval.Judge{
		Client: client, Model: j.Model, Rubric: j.Rubric, Parallel: o.Parallel,
		// A slot has room for a prompt and a reply; the judge sees one more, and what it is to do, in tokens of its own.
		Context: o.ContextLength + 2*s.config.Tokens + 512,
	}, nil
}

// attach creates the run's model in the servers' stores: the base with the exported proxy as its adapter.
func (s *session) attach(ctx context.Context) (string, error) {
	path := s.folder.Path(proxyFile)
	if !exists(path) {
		return "", fmt.Errorf("%s: there is no proxy yet: run proxy-trainer train first", path)
	}
	digest, err := s.llm.PushFile(ctx, path)
	if err != nil {
		return "", err
	}
	return s.config.Name, s.each(ctx, func(c *env.Client) error {
		return c.Create(ctx, s.config.Name, s.config.Model, "", digest)
	})
}

func printEvaluation(e *eval.Evaluation, style eval.Style) {
	fmt.Printf("\n%d held-out prompts", e.Prompts)
	if e.Dropped > 0 {
		fmt.Printf(" (%d more left out: the reward failed on a reply to them)", e.Dropped)
	}
	fmt.Print("\n\n")
	e.Write(os.Stdout, style)
	e.WriteSamples(os.Stdout)
}
