package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// session is what train and eval share: the run folder, a server with the model, the prompts and the reward.
type session struct {
	config config.Config
	folder *run.Folder
	client *env.Client
	server *env.Server // nil when the server is not ours
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
	return openFolder(ctx, c, resolved)
}

func reopen(ctx context.Context, c config.Config) (*session, error) { return openFolder(ctx, c, nil) }

func openFolder(ctx context.Context, c config.Config, resolved []byte) (s *session, err error) {
	s = &session{config: c}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err = s.check(ctx); err != nil {
		return s, err
	}
	if s.folder, err = run.Open(c.RunFolder(), resolved, "run", "model_file", "ollama"); err != nil {
		return s, err
	}
	return s, s.reach(ctx, s.folder.Path("server.log"))
}

// check does what needs no server: the prompts are read and the reward is asked for one reply, so that what does not work is
// known before the first rollout.
func (s *session) check(ctx context.Context) (err error) {
	if s.reward, err = reward.New(s.config.Reward); err != nil {
		return err
	}
	if s.pool, err = prompts.Read(s.config.Prompts.Options); err != nil {
		return err
	}
	if s.config.Prompts.MaxTokens == 0 {
		if err = s.selectPrompts(ctx); err != nil {
			return err
		}
	}
	return s.probeReward(ctx)
}

// probeReward asks for the reward of one reply, so that a reward that does not work is known before the first rollout.
func (s *session) probeReward(ctx context.Context) error {
	p := s.pool.Any()
	sample := reward.Sample{Prompt: p.Text, Reply: "Hello.", Label: p.Label, State: make([]float32, reward.StateLength(s.reward))}
	if _, err := s.reward.Score(ctx, []reward.Sample{sample}); err != nil {
		return fmt.Errorf("reward of a first reply, %q to %.80q: %w", sample.Reply, sample.Prompt, err)
	}
	return nil
}

// reach does what needs a server: it is started if none is named, has the model, and counts the prompts' tokens.
func (s *session) reach(ctx context.Context, log string) (err error) {
	if err = s.connect(ctx, log); err != nil {
		return err
	}
	s.client.Timeout = s.config.Ollama.Timeout
	if err = s.ensureModel(ctx); err != nil {
		return err
	}
	if s.base, err = s.client.Base(ctx, s.config.Model); err != nil {
		return err
	}
	warnings, err := reward.CheckBase(s.reward, s.base)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(os.Stderr, "Warning:", w)
	}
	if s.config.Prompts.MaxTokens > 0 {
		err = s.selectPrompts(ctx)
	}
	return err
}

func (s *session) close() {
	if c, ok := s.reward.(io.Closer); ok {
		_ = c.Close()
	}
	if s.server != nil {
		s.server.Stop()
	}
	if s.folder != nil {
		s.folder.Close()
	}
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

// connect finds the configured server, or starts one that writes to log.
func (s *session) connect(ctx context.Context, log string) error {
	o := s.config.Ollama
	if o.Host == "" {
		server, err := env.Start(ctx, env.ServerOptions{
			Binary: o.Binary, Store: o.Store, Log: log,
			Parallel: o.Parallel, ContextLength: o.ContextLength,
		})
		if err != nil {
			return err
		}
		s.server, s.client = server, server.Client
		return nil
	}
	client, err := env.NewClient(o.Host)
	if err != nil {
		return err
	}
	v, err := client.Version(ctx)
	if err != nil {
		return err
	}
	if !v.Rollout {
		return fmt.Errorf("the server at %s gives no features: start it with OLLAMA_PROXY_ROLLOUT=1", client.Host())
	}
	s.client = client
	return nil
}

// libraryURL is Ollama's library; a model is pulled from it when it can be reached.
const libraryURL = "https://registry.ollama.ai/v2/"

// ensureModel gets the model into the server's store: it is there, or comes from Ollama's library, or from a file.
func (s *session) ensureModel(ctx context.Context) error {
	c := s.config
	if has, err := s.client.Has(ctx, c.Model); has || err != nil {
		return err
	}
	if reachable(ctx, libraryURL) {
		fmt.Printf("pulling %s from Ollama's library\n", c.Model)
		if err := s.client.Pull(ctx, c.Model, func(int64, int64) {}); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if _, err := os.Stat(c.ModelFile); err != nil {
		return fmt.Errorf("model %s: the server lacks it, Ollama's library is out of reach, and model_file %q: %w: run make model, or set model_file to a GGUF file", c.Model, c.ModelFile, errors.Unwrap(err))
	}
	digest, err := s.client.PushFile(ctx, c.ModelFile)
	if err != nil {
		return err
	}
	return s.client.Create(ctx, c.Model, "", digest, "")
}

func reachable(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}
