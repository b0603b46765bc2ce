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
	if s.reward, err = reward.New(c.Reward); err != nil {
		return s, err
	}
	if err = s.loadPrompts(); err != nil {
		return s, err
	}
	if err = s.probeReward(ctx); err != nil {
		return s, err
	}
	if s.folder, err = run.Open(c.RunFolder(), resolved, "run", "model_file", "ollama"); err != nil {
		return s, err
	}
	if err = s.connect(ctx); err != nil {
		return s, err
	}
	s.client.Timeout = c.Ollama.Timeout
	if err = s.ensureModel(ctx); err != nil {
		return s, err
	}
	s.base, err = s.client.Base(ctx, c.Model)
	return s, err
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

// probeReward asks for the reward of one reply, so that a reward that does not work is known before the first rollout.
func (s *session) probeReward(ctx context.Context) error {
	sample := reward.Sample{Prompt: s.train[0].Text, Reply: "Hello.", Label: s.train[0].Label}
	if _, err := s.reward.Score(ctx, []reward.Sample{sample}); err != nil {
		return fmt.Errorf("reward of a first reply, %q to %.80q: %w", sample.Reply, sample.Prompt, err)
	}
	return nil
}

func (s *session) connect(ctx context.Context) error {
	o := s.config.Ollama
	if o.Host == "" {
		server, err := env.Start(ctx, env.ServerOptions{
			Binary: o.Binary, Store: o.Store, Log: s.folder.Path("server.log"),
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
