package doctor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// checkModels looks for the model on every server: they must have the same one.
func (e *examination) checkModels(ctx context.Context) bool {
	c := e.config
	for i, client := range e.clients {
		if !e.checkModel(ctx, client) {
			return false
		}
		details, err := client.Details(ctx, c.Model)
		if err != nil {
			e.report.add(Fail, "model", "create it anew from its GGUF file", "%v", err)
			return false
		}
		if i == 0 {
			e.model = details
		}
		if first := e.model.Base; details.Base != first {
			e.report.add(Fail, "model", "give all hosts the same, or other names", "%s is another one at %s (%s) than at %s (%s)",
				c.Model, client.Host(), details.Digest, e.clients[0].Host(), first.Digest)
			return false
		}
	}
	if n := e.model.ContextLength; n > 0 && c.Ollama.ContextLength > n {
		e.report.add(Warn, "model", fmt.Sprintf("lower ollama.context_length to %d", n),
			"ollama.context_length is %d, but %s was trained for %d", c.Ollama.ContextLength, c.Model, n)
	}
	e.report.ok("model", "%s: %s, embedding length %d, vocabulary %d", c.Model, e.model.Architecture, e.model.EmbeddingLength, e.model.VocabSize)
	return true
}

// checkModel looks for the model, or for what a run would make it of.
func (e *examination) checkModel(ctx context.Context, client *env.Client) bool {
	c := e.config
	has, err := client.Has(ctx, c.Model)
	if err != nil {
		e.report.add(Fail, "model", "see the server's log", "%s at %s: %v", c.Model, client.Host(), err)
		return false
	}
	if has {
		return true
	}
	if info, err := os.Stat(c.ModelFile); err == nil && info.Mode().IsRegular() {
		e.report.add(Warn, "model", "none is needed; run doctor again afterwards for the checks that need the model",
			"the server at %s lacks %s: a run pulls it, or makes it of %s", client.Host(), c.Model, c.ModelFile)
		return false
	}
	e.report.add(Fail, "model", "pull it there, run make model, or set model_file to a GGUF file",
		"the server at %s lacks %s, and model_file %q is no file: a run works only if it can pull it", client.Host(), c.Model, c.ModelFile)
	return false
}

// rehearse lets the model answer with a proxy made up on the spot, once for each
// kind of features: whether its engine can serve them, nobody knows better.
func (e *examination) rehearse(ctx context.Context) {
	for _, features := range []proxy.Features{proxy.Prefix, proxy.Lookahead} {
		check := string(features) + " features"
		err := e.try(ctx, features)
		switch {
		case err == nil:
			e.report.ok(check, "served by Ollama's Go engine for %s models", e.model.Architecture)
		case features == e.config.Proxy.Features:
			e.report.add(Fail, check, "set proxy.features to the other kind if that is served, or choose another model", "%v", err)
		default:
			e.report.add(Warn, check, "none is needed while proxy.features is "+string(e.config.Proxy.Features), "%v", err)
		}
	}
}

// try asks for two tokens with an untrained proxy.
func (e *examination) try(ctx context.Context, features proxy.Features) error {
	m, err := proxy.New(proxy.Config{
		Features: features, EmbeddingLength: e.model.EmbeddingLength, FeedForwardLength: []int{8}, Activation: proxy.ReLU,
		Pool: sampler.DefaultOptions(), Cutoff: proxy.DefaultCutoff, Base: e.model.Base,
	}, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "proxy-trainer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "untrained.gguf")
	if err := m.WriteFile(path); err != nil {
		return err
	}
	client := e.clients[0]
	digest, err := client.PushFile(ctx, path)
	if err != nil {
		return err
	}
	client.Timeout = e.config.Ollama.Timeout
	reply, err := client.Chat(ctx, env.Request{Model: e.config.Model, Prompt: prompts.Prompt{Text: "Hello"}, Options: map[string]any{
		"proxy": digest, "proxy_trace": wire.TraceFeatures, "proxy_pt": 0.0, "num_predict": 2, "seed": 1,
	}})
	if err != nil {
		return err
	}
	return checkReply(&reply, m)
}

// checkReply makes sure that the proxy decided, on features of its length.
func checkReply(reply *env.Reply, m *proxy.Model) error {
	if reply.Proxy == nil {
		return fmt.Errorf("the reply came without a word of the proxy")
	}
	for _, d := range reply.Decisions {
		if n := len(d.Features) / 2; n != 0 && n != m.InputLength() {
			return fmt.Errorf("the server sends %d features, want %d", n, m.InputLength())
		}
	}
	return nil
}
