package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ollama/ollama/format"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// drySamples is how many prompts a dry run shows.
const drySamples = 3

// dryRun says what train would do: it goes as far as the first reply, and leaves the run folder alone.
func dryRun(ctx context.Context, c config.Config, w io.Writer) error {
	s := &session{config: c}
	defer s.close()
	if err := s.check(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "proxy-trainer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.connection, err = connect(ctx, c.Ollama, filepath.Join(dir, "server.log")); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	rows := append(s.dryModel(), s.dryPrompts()...)
	writeTable(w, nil, append(rows, s.dryTraining()...))
	for _, warning := range c.Warnings() {
		fmt.Fprintln(w, "Warning:", warning)
	}
	if err := s.drySamples(ctx, w); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nnothing was trained, and nothing written in %s\n", c.RunFolder())
	return nil
}

func (s *session) dryModel() [][]string {
	c, p := s.config, s.config.Proxy
	inputs := proxy.Config{Features: p.Features, EmbeddingLength: s.base.EmbeddingLength}.InputLength()
	network := fmt.Sprintf("%s features, %s → 2, %s: %s parameters, and about as many in each critic",
		p.Features, arrows(append([]int{inputs}, p.HiddenSizes...)), p.Activation, format.HumanNumber(uint64(p.Parameters(inputs, 2))))
	return [][]string{
		{"model", fmt.Sprintf("%s (%s, d %d, vocabulary %d)", c.Model, s.base.Architecture, s.base.EmbeddingLength, s.base.VocabSize)},
		{"server", fmt.Sprintf("%s, %d replies at once, %d tokens of context each", s.client.Host(), c.Ollama.Parallel, c.Ollama.ContextLength)},
		{"proxy", network},
		{"pool", fmt.Sprintf("temperature %v, top_k %d, top_p %v, min_p %v, p_t %v, max_rejections %d, cutoff %v",
			p.Temperature, p.TopK, p.TopP, p.MinP, p.PT, p.MaxRejections, p.Cutoff)},
	}
}

// dryPrompts lists what every filter leaves.
func (s *session) dryPrompts() [][]string {
	o, n := s.config.Prompts, s.pool.Counts
	left := []string{fmt.Sprintf("%d records", n.Records), fmt.Sprintf("%d distinct", n.Distinct)}
	if o.MaxCharacters > 0 {
		left = append(left, fmt.Sprintf("%d of at most %d characters", n.Short, o.MaxCharacters))
	}
	rows := [][]string{
		{"prompts", o.Path + ": " + strings.Join(left, ", ")},
		{"", fmt.Sprintf("%d to train on, %d kept from training", n.Train, n.HeldOut)},
	}
	if o.MaxTokens > 0 {
		rows = append(rows, []string{"", fmt.Sprintf("%d of the %d that were counted have at most %d tokens", n.Fit, n.Asked, o.MaxTokens)})
	}
	return append(rows, []string{"", fmt.Sprintf("used: %d to train on, %d to choose the checkpoint by, %d held out", len(s.train), len(s.validation), len(s.heldOut))})
}

func (s *session) dryTraining() [][]string {
	c := s.config
	pay := "at the end of a reply"
	if c.Dense {
		pay = "token by token"
	}
	return [][]string{
		{"training", fmt.Sprintf("%s on %d episodes of up to %d tokens, in %d batches of %d replies (BLAS: %s)", c.Algorithm, c.Episodes, c.Tokens, c.Episodes/c.BatchSize, c.BatchSize, nn.BLAS())},
		{"reward", fmt.Sprintf("%s, paid %s, less %v for each rejection", c.Reward.Type, pay, c.RejectionCost)},
	}
}

// drySamples prints, exactly, what the model and the reward are sent for the first prompts.
func (s *session) drySamples(ctx context.Context, w io.Writer) error {
	samples := s.train[:min(drySamples, len(s.train))]
	rendered, err := s.client.Render(ctx, s.config.Model, samples)
	if errors.Is(err, env.ErrCannotRender) {
		fmt.Fprintf(w, "\nwhat the model is sent cannot be shown: %v\n", err)
	} else if err != nil {
		return err
	}
	for i, p := range samples {
		fmt.Fprintf(w, "\nsample %d (%s)\n", i+1, p.ID)
		if rendered != nil {
			fmt.Fprintf(w, "  to the model, %d tokens:\n%s\n", rendered[i].Tokens, quoted(rendered[i].Prompt))
			if room := s.config.Ollama.ContextLength - s.config.Tokens; rendered[i].Tokens > room {
				fmt.Fprintf(w, "  Warning: that is more than the %d that ollama.context_length %d leaves beside the reply: the beginning is cut off\n", room, s.config.Ollama.ContextLength)
			}
		}
		fmt.Fprintf(w, "  to the reward, %d characters, with the reply:\n%s\n", len([]rune(p.Text)), rewarded(p))
	}
	return nil
}

// rewarded is a prompt as rewards are sent it, less the reply.
func rewarded(p prompts.Prompt) string {
	out := quoted(p.Text)
	if len(p.Label) > 0 {
		out += "\n    label " + string(p.Label)
	}
	return out
}

// quoted shows every character of a text, in JSON, and keeps its lines.
func quoted(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    ")
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(line) // a string: it cannot fail
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// arrows writes sizes as "576 → 256".
func arrows(sizes []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(sizes), "[]"), " ", " → ")
}
