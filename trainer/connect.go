package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
)

// connection is the servers that a command uses: one of its own, or those that run already.
type connection struct {
	server  *env.Server   // nil when no server is ours
	client  *env.Client   // the first server, for what needs only one
	clients []*env.Client // all
	llm     env.LLM       // all, as one
	// parallel is the number of replies that all servers work on at once.
	parallel int
}

// connect reaches the servers of o, or starts one that logs to the file log.
func connect(ctx context.Context, o config.Ollama, log string) (*connection, error) {
	addresses := o.Addresses()
	if len(addresses) == 0 {
		return startServer(ctx, o, log)
	}
	c := &connection{}
	var slots []int
	for _, address := range addresses {
		client, err := env.NewClient(address)
		if err != nil {
			return nil, err
		}
		version, err := client.Version(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: start bin/ollama serve there with OLLAMA_PROXY_ROLLOUT=1, or leave ollama.host empty to have one started", err)
		}
		if !version.Rollout {
			return nil, fmt.Errorf("the server at %s gives no features: start it with OLLAMA_PROXY_ROLLOUT=1", client.Host())
		}
		client.Timeout = o.Timeout
		n := o.Parallel
		if n == 0 {
			n = max(version.Parallel, 1)
		}
		c.clients, slots = append(c.clients, client), append(slots, n)
		c.parallel += n
	}
	c.client, c.llm = c.clients[0], c.clients[0]
	if len(c.clients) > 1 {
		pool := env.NewPool(c.clients, slots)
		pool.Warn = func(message string) { fmt.Fprintln(os.Stderr, "Warning:", message) }
		c.llm = pool
	}
	return c, nil
}

func startServer(ctx context.Context, o config.Ollama, log string) (*connection, error) {
	parallel := o.Parallel
	if parallel == 0 {
		parallel = config.StartedParallel
	}
	server, err := env.Start(ctx, env.ServerOptions{
		Binary: o.Binary, Store: o.Store, Log: log, Parallel: parallel, ContextLength: o.ContextLength,
	})
	if err != nil {
		return nil, err
	}
	server.Timeout = o.Timeout
	return &connection{server: server, client: server.Client, clients: []*env.Client{server.Client}, llm: server.Client, parallel: parallel}, nil
}

// each calls f for every server that replies may come from, all at once. One of several that fails is left out.
func (c *connection) each(ctx context.Context, f func(*env.Client) error) error {
	if pool, ok := c.llm.(*env.Pool); ok {
		return pool.Each(ctx, f)
	}
	return f(c.client)
}

// close stops the server if it is ours.
func (c *connection) close() {
	if c.server != nil {
		c.server.Stop()
	}
}

// prepareModel gets the model into every server's store and returns what a proxy file says of it. All servers must have the
// same one.
func (c *connection) prepareModel(ctx context.Context, o config.Config) (proxy.Base, error) {
	var first proxy.Base
	for i, client := range c.clients {
		if err := ensureModel(ctx, client, o); err != nil {
			return proxy.Base{}, err
		}
		base, err := client.Base(ctx, o.Model)
		if err != nil {
			return proxy.Base{}, err
		}
		if i == 0 {
			first = base
		}
		if base != first {
			return proxy.Base{}, fmt.Errorf("model %s is another one at %s (%s) than at %s (%s): give all hosts the same, or other names", o.Model, client.Host(), base.Digest, c.client.Host(), first.Digest)
		}
	}
	return first, nil
}

// libraryURL is Ollama's library; a model is pulled from it when it can be reached.
const libraryURL = "https://registry.ollama.ai/v2/"

// ensureModel gets the model into a server's store: it is there, or comes from Ollama's library, or from a file.
func ensureModel(ctx context.Context, client *env.Client, c config.Config) error {
	if has, err := client.Has(ctx, c.Model); has || err != nil {
		return err
	}
	if reachable(ctx, libraryURL) {
		fmt.Printf("pulling %s from Ollama's library\n", c.Model)
		if err := client.Pull(ctx, c.Model, func(int64, int64) {}); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if _, err := os.Stat(c.ModelFile); err != nil {
		return fmt.Errorf("model %s: the server lacks it, Ollama's library is out of reach, and model_file %q: %w: run make model, or set model_file to a GGUF file", c.Model, c.ModelFile, errors.Unwrap(err))
	}
	digest, err := client.PushFile(ctx, c.ModelFile)
	if err != nil {
		return err
	}
	return client.Create(ctx, c.Model, "", digest, "")
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

// alive is an error where no server answers any more.
func (c *connection) alive(ctx context.Context) error {
	var errs []error
	for _, client := range c.clients {
		_, err := client.Version(ctx)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
