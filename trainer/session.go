package main

import (
	"context"
	"fmt"
	"io"
	"os"

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
	// reward2 is for the evaluation only; nil if none is asked for.
	reward2 reward.Reward

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
	s.config.Ollama.Parallel = s.parallel
	s.base, err = s.prepareModel(ctx, c)
	return s, err
}

func (s *session) close() {
	for _, r := range []reward.Reward{s.reward, s.reward2} {
		if c, ok := r.(io.Closer); ok {
			_ = c.Close()
		}
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
	if second := s.config.Eval.Reward2; second != nil {
		if s.reward2, err = reward.New(*second); err != nil {
			return fmt.Errorf("eval.reward2: %w", err)
		}
	}
	if err := s.loadPrompts(); err != nil {
		return err
	}
	return s.probeReward(ctx)
}

// loadPrompts divides the prompts in three: to train on, to choose the checkpoint by, and held out.
func (s *session) loadPrompts() error {
	c := s.config
	train, heldOut, err := prompts.Load(c.Prompts.Options)
	if err != nil {
		return err
	}
	n := c.Prompts.Validation
	if n >= len(train) {
		return fmt.Errorf("prompts.validation: want fewer than the %d training prompts, got %d", len(train), n)
	}
	s.validation, s.train = train[:n], train[n:]
	if s.heldOut = heldOut; c.Eval.Prompts > 0 && c.Eval.Prompts < len(heldOut) {
		s.heldOut = heldOut[:c.Eval.Prompts]
	}
	return nil
}

// probeReward asks for the rewards of one reply, so that one that does not work is known before the first rollout.
func (s *session) probeReward(ctx context.Context) error {
	sample := reward.Sample{Prompt: s.train[0].Text, Reply: "Hello.", Label: s.train[0].Label}
	fail := func(name string, err error) error {
		return fmt.Errorf("%s of a first reply, %q to %.80q: %w", name, sample.Reply, sample.Prompt, err)
	}
	if _, err := s.reward.Score(ctx, []reward.Sample{sample}); err != nil {
		return fail("reward", err)
	}
	if s.reward2 == nil {
		return nil
	}
	if _, err := s.reward2.Score(ctx, []reward.Sample{sample}); err != nil {
		return fail("eval.reward2", err)
	}
	return nil
}
