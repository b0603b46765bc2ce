package doctor

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// examination is one look at everything that a configuration needs.
type examination struct {
	config  config.Config
	machine Machine
	report  report

	clients  []*env.Client // of the servers that answer
	server   *env.Server   // nil where none is ours
	parallel int           // replies at once on ours
	model    env.Details   // zero where the first server lacks the model
}

// Examine looks at everything that a run of a valid configuration needs. It
// starts and stops a server if the configuration names none.
func Examine(ctx context.Context, c config.Config, m Machine) []Finding {
	e := examination{config: c, machine: m}
	e.checkSettings()
	e.checkBLAS()
	e.checkPrompts()
	e.checkReward(ctx)
	memory, memoryErr := m.Memory() // before a model is loaded
	defer func() {
		if e.server != nil {
			e.server.Stop()
		}
	}()
	if e.checkServers(ctx) && e.checkModels(ctx) {
		e.rehearse(ctx)
	}
	e.checkMemory(memory, memoryErr)
	e.checkDisk()
	return e.report
}

// checkSettings passes on where the pool leaves the proxy nothing to decide.
func (e *examination) checkSettings() {
	warnings := e.config.Warnings()
	for _, w := range warnings {
		e.report.add(Warn, "settings", "see the paper's section 3.1, or take the defaults", "%s", w)
	}
	if p := e.config.Proxy; len(warnings) == 0 {
		e.report.ok("settings", "p_t %v leaves a choice at the pool's temperature %v, top_k %d, top_p %v, min_p %v", p.PT, p.Temperature, p.TopK, p.TopP, p.MinP)
	}
}

func (e *examination) checkBLAS() {
	if blas := nn.BLAS(); blas != "openblas" {
		e.report.add(Warn, "BLAS", "install libopenblas-dev and build again with make build: updates are then 5 to 8 times as fast", "%s, in pure Go", blas)
		return
	}
	e.report.ok("BLAS", "openblas")
}

func (e *examination) checkPrompts() {
	pool, err := prompts.Read(e.config.Prompts.Options)
	switch {
	case err != nil:
		e.report.add(Fail, "prompts", "correct the file, or set prompts.path", "%v", err)
	case e.config.Prompts.Validation >= pool.Counts.Train:
		e.report.add(Fail, "prompts", "lower prompts.validation, or give more prompts",
			"prompts.validation is %d, but there are %d prompts to train on", e.config.Prompts.Validation, pool.Counts.Train)
	default:
		e.report.ok("prompts", "%s: %d to train on, %d kept from training", e.config.Prompts.Path, pool.Counts.Train, pool.Counts.HeldOut)
	}
}

// checkReward asks for the reward of one reply.
func (e *examination) checkReward(ctx context.Context) {
	if e.config.Reward.Type == "" {
		return // the configuration's fault
	}
	r, err := reward.New(e.config.Reward)
	if err == nil {
		_, err = r.Score(ctx, []reward.Sample{{Prompt: "Hello", Reply: "Hello."}})
	}
	if err != nil {
		e.report.add(Fail, "reward", "see that its server runs, or correct the keys under reward", "%v", err)
		return
	}
	e.report.ok("reward", "%s scores a reply", e.config.Reward.Type)
}

// checkServers finds the configured servers, or starts one on a free port.
func (e *examination) checkServers(ctx context.Context) bool {
	o := e.config.Ollama
	addresses := o.Addresses()
	if len(addresses) == 0 {
		return e.checkOwnServer(ctx)
	}
	for _, address := range addresses {
		client, err := env.NewClient(address)
		if err != nil {
			e.report.add(Fail, "server", "set ollama.host to host:port", "%v", err)
			return false
		}
		if !e.checkServer(ctx, client, "running at "+client.Host()) {
			return false
		}
	}
	return true
}

// checkOwnServer starts a server as a run does.
func (e *examination) checkOwnServer(ctx context.Context) bool {
	o := e.config.Ollama
	var err error
	if e.server, err = e.start(ctx); err != nil {
		e.report.add(Fail, "server", "build it with make build, set ollama.binary, or name a running one in ollama.host", "%v", err)
		return false
	}
	return e.checkServer(ctx, e.server.Client, fmt.Sprintf("%s starts, on the free port %s", o.Binary, e.server.Host()))
}

func (e *examination) checkServer(ctx context.Context, client *env.Client, where string) bool {
	v, err := client.Version(ctx)
	switch {
	case err != nil:
		e.report.add(Fail, "server", "start bin/ollama serve there with OLLAMA_PROXY_ROLLOUT=1, or leave ollama.host empty", "%v", err)
		return false
	case !v.Rollout:
		e.report.add(Fail, "server", "start it with OLLAMA_PROXY_ROLLOUT=1", "%s, version %s, patches %s: it gives no features", where, v.Version, v.Patches)
		return false
	}
	e.report.ok("server", "%s, version %s, patches %s, ready for rollouts", where, v.Version, v.Patches)
	e.clients = append(e.clients, client)
	return true
}

// start says the last line of the server's log where it does not come up.
func (e *examination) start(ctx context.Context) (*env.Server, error) {
	dir, err := os.MkdirTemp("", "proxy-trainer-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	log := filepath.Join(dir, "server.log")
	o := e.config.Ollama
	e.parallel = cmp.Or(o.Parallel, config.StartedParallel)
	s, err := env.Start(ctx, env.ServerOptions{Binary: o.Binary, Store: o.Store, Log: log, Parallel: e.parallel, ContextLength: o.ContextLength})
	if err == nil {
		return s, nil
	}
	if text, readErr := os.ReadFile(log); readErr == nil {
		if last := lastLine(string(text)); last != "" {
			return nil, fmt.Errorf("%w: %s", err, last)
		}
	}
	return nil, err
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
