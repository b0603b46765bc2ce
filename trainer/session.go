package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// session is what train and eval share: the run folder, servers with the model, the prompts and the reward.
type session struct {
	config config.Config
	folder *run.Folder
	*connection
	shared bool   // the connection is another's to close
	resume string // see learn.Loop
	label  string // before what progress says; "" for none
	base   proxy.Base
	reward reward.Reward

	pool                       *prompts.Pool
	train, validation, heldOut []prompts.Prompt
}

// open checks everything that can be checked before the first reply is asked for. It is for commands that train: the folder's
// configuration must be this one. With reopen the folder is one that was trained in, and what it was trained with stays.
func open(ctx context.Context, c config.Config) (*session, error) {
	resolved, err := c.YAML()
	if err != nil {
		return nil, err
	}
	return openFolder(ctx, c, resolved, nil)
}

func reopen(ctx context.Context, c config.Config) (*session, error) {
	return openFolder(ctx, c, nil, nil)
}

// openFolder opens a run on a connection that is another's, or on one of its own for nil.
func openFolder(ctx context.Context, c config.Config, resolved []byte, shared *connection) (s *session, err error) {
	s = &session{config: c}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err = s.check(ctx); err != nil {
		return s, err
	}
	if resolved != nil {
		for _, w := range c.Warnings() {
			fmt.Fprintln(os.Stderr, "Warning:", w)
		}
	}
	if s.folder, err = run.Open(c.RunFolder(), resolved, "run", "model_file", "ollama", "sweep"); err != nil {
		return s, err
	}
	if shared != nil {
		s.connection, s.shared = shared, true
	} else if s.connection, err = connect(ctx, c.Ollama, s.folder.Path("server.log")); err != nil {
		return s, err
	}
	return s, s.prepare(ctx)
}

func (s *session) close() {
	if c, ok := s.reward.(io.Closer); ok {
		_ = c.Close()
	}
	if s.connection != nil && !s.shared {
		s.connection.close()
	}
	if s.folder != nil {
		s.folder.Close()
	}
}

// check makes reward and prompts, and finds out whether they are of any use.
func (s *session) check(ctx context.Context) (err error) {
	if s.reward, err = reward.New(s.config.Reward); err != nil {
		return err
	}
	if s.pool, err = prompts.Read(s.config.Prompts.Options); err != nil {
		return err
	}
	if s.config.Prompts.MaxTokens == 0 { // else a server must count
		if err := s.selectPrompts(ctx); err != nil {
			return err
		}
	}
	return s.probeReward(ctx)
}

// prepare does what needs a connection: the servers get the model, and one of them counts the prompts' tokens.
func (s *session) prepare(ctx context.Context) (err error) {
	s.config.Ollama.Parallel = s.parallel
	if s.base, err = s.prepareModel(ctx, s.config); err != nil {
		return err
	}
	if s.config.Prompts.MaxTokens > 0 {
		err = s.selectPrompts(ctx)
	}
	return err
}

// selectPrompts divides the prompts in three: to train on, to choose the checkpoint by, and held out. No run of this
// configuration comes to others, so no others are counted.
func (s *session) selectPrompts(ctx context.Context) error {
	c := s.config
	n := c.Prompts.Validation
	train, heldOut, err := s.pool.Select(ctx, prompts.Need{Train: n + c.Episodes, HeldOut: c.Eval.Prompts}, s.countTokens())
	if err != nil {
		return err
	}
	if n >= len(train) {
		return fmt.Errorf("prompts.validation: want fewer than the %d training prompts, got %d", len(train), n)
	}
	s.validation, s.train, s.heldOut = train[:n], train[n:], heldOut
	return nil
}

// countTokens has the server count, and says how far it is when that takes long.
func (s *session) countTokens() prompts.Counter {
	asked, said := 0, time.Now()
	return func(ctx context.Context, ps []prompts.Prompt) ([]int, error) {
		rendered, err := s.client.Render(ctx, s.config.Model, ps)
		if err != nil {
			return nil, err
		}
		tokens := make([]int, len(rendered))
		for i, r := range rendered {
			tokens[i] = r.Tokens
		}
		if asked += len(ps); time.Since(said) > 5*time.Second {
			fmt.Fprintf(os.Stderr, "counting tokens: %d prompts of %d at most\n", asked, s.pool.Counts.Short)
			said = time.Now()
		}
		return tokens, nil
	}
}

// probeReward asks for the reward of one reply, so that a reward that does not work is known before the first rollout.
func (s *session) probeReward(ctx context.Context) error {
	p := s.pool.Any()
	sample := reward.Sample{Prompt: p.Text, Reply: "Hello.", Label: p.Label}
	if _, err := s.reward.Score(ctx, []reward.Sample{sample}); err != nil {
		return fmt.Errorf("reward of a first reply, %q to %.80q: %w", sample.Reply, sample.Prompt, err)
	}
	return nil
}
