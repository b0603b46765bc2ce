package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/preference"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// headFile is the head's file in a run folder, where nothing names another.
const headFile = "reward.gguf"

// headOptions are the flags of the command reward that are no knobs of a run.
type headOptions struct {
	pairs string
	out   string
	limit int
	folds int
	fit   head.Options
}

func rewardCommand() *cobra.Command {
	o := headOptions{folds: 5, fit: head.DefaultOptions()}
	cmd := configured("reward", "Train a reward on human feedback: a head over the frozen LLM's own states", func(ctx context.Context, c config.Config) error {
		o.fit.Seed = c.Seed
		return trainHead(ctx, c, o)
	})
	cmd.Long = `Train a reward on human feedback: a head over the frozen LLM's own states.

Pairs are JSON Lines, a JSON array or Parquet (.gz and .zst too) with chosen and rejected: dialogues in the text form of HH-RLHF
("\n\nHuman: …\n\nAssistant: …"), lists of messages, or replies beside a prompt. The server is asked for the model's states at every
reply once; they are kept beside the head, so an interrupted command goes on where it was. What is printed of accuracy and
calibration is of pairs that the head was not fitted on; the head that is written is fitted on all of them.

Train for it with reward: {type: head, head: FILE}.`
	flags := cmd.Flags()
	flags.StringVar(&o.pairs, "pairs", "", "file of pairs")
	flags.StringVar(&o.out, "out", "", "file to write; empty: the head that the configuration's reward names, or reward.gguf in the run folder")
	flags.IntVar(&o.limit, "limit", 0, "pairs to use at most, the first ones; 0: all")
	flags.IntVar(&o.folds, "folds", o.folds, "parts that the pairs are divided in to judge the head by each")
	flags.Float64Var(&o.fit.L2, "l2", o.fit.L2, "weight of L2, above 0")
	flags.IntVar(&o.fit.Hidden, "hidden", o.fit.Hidden, "hidden units between state and score; 0: a linear score")
	if err := cmd.MarkFlagRequired("pairs"); err != nil {
		panic(err) // the flag is there
	}
	// What the command makes is a reward: without a configuration there is none to name.
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if flags.Changed("config") || flags.Changed("reward.type") {
			return nil
		}
		if err := flags.Set("reward.type", reward.TypeHead); err != nil {
			return err
		}
		return flags.Set("reward.head", cmp.Or(o.out, headFile))
	}
	return cmd
}

// file is where the head goes.
func (o headOptions) file(c config.Config) string {
	if o.out != "" {
		return o.out
	}
	if c.Reward.Type == reward.TypeHead {
		return c.Reward.Head
	}
	for _, t := range c.Reward.Terms {
		if t.Type == reward.TypeHead {
			return t.Head
		}
	}
	return filepath.Join(c.RunFolder(), headFile)
}

func (o headOptions) validate() error {
	if o.folds < 2 {
		return fmt.Errorf("--folds: want 2 or more, got %d", o.folds)
	}
	if o.limit < 0 {
		return fmt.Errorf("--limit: want a number of pairs, or 0 for all, got %d", o.limit)
	}
	if err := o.fit.Validate(); err != nil {
		return fmt.Errorf("--%w", err)
	}
	return nil
}

// trainHead reads pairs, gets the model's states at their replies, judges heads by cross-validation, and writes one.
func trainHead(ctx context.Context, c config.Config, o headOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	pairs, err := preference.Read(o.pairs)
	if err != nil {
		return err
	}
	if o.limit > 0 && o.limit < len(pairs) {
		pairs = pairs[:o.limit]
	}
	if len(pairs) < 2*o.folds {
		return fmt.Errorf("pairs: %s: %d pairs are too few for %d folds, and a head of use wants hundreds", o.pairs, len(pairs), o.folds)
	}
	path := o.file(c)
	s := &session{config: c}
	defer s.close()
	if s.folder, err = run.Open(filepath.Dir(path), nil); err != nil {
		return err
	}
	states, count, err := s.collect(ctx, pairs)
	if err != nil {
		return err
	}
	printCount(os.Stdout, len(pairs), count)
	report, err := head.CrossValidate(ctx, states, o.fit, head.Folding{
		Fold: preference.Folds(pairs, o.folds), Folds: o.folds, Resamples: c.Eval.BootstrapSamples, Seed: c.Seed,
	})
	if err != nil {
		return err
	}
	printReport(os.Stdout, report, o.folds)
	h, err := head.Fit(states, o.fit)
	if err != nil {
		return err
	}
	h.Base = s.base
	h.Training = map[string]any{
		"pairs": len(pairs), "pairs_digest": preference.Digest(pairs), "folds": o.folds,
		"accuracy": report.Accuracy.Mean, "accuracy_low": report.Accuracy.Low, "accuracy_high": report.Accuracy.High,
		"ece": report.ECE, "longer_wins": report.LongerWins, "prefers_longer": report.PrefersLonger, "l2": o.fit.L2,
	}
	if err := h.WriteFile(path); err != nil {
		return err
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	if err := s.folder.WriteFile(filepath.Base(path)+".json", append(data, '\n')); err != nil {
		return err
	}
	fmt.Printf("\n%s  train for it with reward: {type: head, head: %s}\n", path, path)
	return nil
}

// stateReader is servers that have a model.
type stateReader struct {
	env.StateReader
	model string
}

var _ preference.StateReader = stateReader{}

func (r stateReader) States(ctx context.Context, prompt []prompts.Message, reply string) (wire.StatesReply, error) {
	return r.StateReader.States(ctx, r.model, prompt, reply)
}

// collect gets the states of the pairs' replies from the configured server.
func (s *session) collect(ctx context.Context, pairs []preference.Pair) ([]head.Pair, preference.Count, error) {
	var count preference.Count
	var err error
	if s.connection, err = connect(ctx, s.config.Ollama, s.folder.Path("server.log")); err != nil {
		return nil, count, err
	}
	if s.base, err = s.prepareModel(ctx, s.config); err != nil {
		return nil, count, err
	}
	reader, ok := s.llm.(env.StateReader)
	if !ok {
		return nil, count, fmt.Errorf("%T gives no states", s.llm)
	}
	bar := &progress{parallel: s.parallel}
	defer bar.finish()
	bar.Phase("states", 2*len(pairs))
	c := preference.Collector{
		Reader: stateReader{reader, s.config.Model}, Store: s.folder, Parallel: s.parallel,
		Scope: fmt.Sprintf("%s context %d", s.base.Digest, s.config.Ollama.ContextLength),
		Done:  func(preference.Count) { bar.Reply(nil) },
	}
	states, count, err := c.Collect(ctx, pairs)
	bar.finish()
	if err != nil && count.Done > 0 {
		fmt.Fprintf(os.Stderr, "%d of %d replies are done and kept in %s; the same command goes on\n", count.Done, count.Replies, s.folder.Path(preference.StatesFile))
	}
	return states, count, err
}

func printCount(w io.Writer, pairs int, c preference.Count) {
	fmt.Fprintf(w, "%d pairs, %d replies of %.0f tokens; %d kept from before, the others %d tokens with their prompts in %s",
		pairs, c.Replies, float64(c.Tokens)/float64(max(c.Replies, 1)), c.Kept, c.Fed, c.Wall.Round(time.Second))
	if c.Cut > 0 {
		fmt.Fprintf(w, " (%d more did not fit the context: raise ollama.context_length)", c.Cut)
	}
	fmt.Fprintln(w)
}

func printReport(w io.Writer, r *head.Report, folds int) {
	fmt.Fprintf(w, "\n%d held-out pairs, in %d folds\n\n", r.Pairs, folds)
	share := func(x float64) string { return fmt.Sprintf("%.3f", x) }
	writeTable(w, nil, [][]string{
		{"the head is right", fmt.Sprintf("%.3f [%.3f, %.3f]", r.Accuracy.Mean, r.Accuracy.Low, r.Accuracy.High)},
		{"the longer reply wins", share(r.LongerWins)},
		{"the shorter reply wins", share(1 - r.LongerWins)},
		{"the head prefers the longer reply", share(r.PrefersLonger)},
		{"calibration error (ECE)", share(r.ECE)},
	})
	fmt.Fprintln(w)
	rows := make([][]string, 0, len(r.Bins))
	for _, b := range r.Bins {
		row := []string{fmt.Sprintf("%.1f and up", b.From), fmt.Sprint(b.Pairs), "", ""}
		if b.Pairs > 0 {
			row[2], row[3] = share(b.Confidence), share(b.Accuracy)
		}
		rows = append(rows, row)
	}
	writeTable(w, []string{"how sure the head is", "pairs", "mean", "right"}, rows)
}
