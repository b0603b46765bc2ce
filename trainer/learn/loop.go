package learn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/ppo"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// The files of a run folder that the loop writes.
const (
	SamplesFile    = "samples.jsonl"
	DroppedFile    = "dropped.jsonl"
	LastCheckpoint = "last.ckpt"
	BestCheckpoint = "best.ckpt"
)

// Reporter hears how a run goes. Its methods are called one at a time.
type Reporter interface {
	// Phase begins a stretch of n replies (or other steps) with a name.
	Phase(name string, n int)
	// Reply is called after each reply of a phase.
	Reply(r *env.Reply)
	// Batch is called after each update, with the metrics that went to the metrics file.
	Batch(episodes int, metrics map[string]float64)
}

// State is what a checkpoint holds.
type State struct {
	Agent    ppo.State
	Base     proxy.Base
	Episodes int // done so far
	// Validated is the number of episodes at the last validation.
	Validated int
	Best      Validation
	Greedy    Validation
	Started   bool // Greedy is known and the features have been observed
	// Records is how much of the recorded files was written by then.
	Records run.Mark
}

// Validation is how a policy did on the validation prompts.
type Validation struct {
	Episodes   int
	Reward     float64
	Perplexity float64
	Rejections float64 // a token
}

// Loop trains one proxy.
type Loop struct {
	Config     config.Config
	Client     env.LLM
	Base       proxy.Base
	Reward     reward.Reward
	Train      []prompts.Prompt
	Validation []prompts.Prompt
	Folder     *run.Folder
	Reporter   Reporter
	// Resume says where to begin: [ResumeAuto] (or ""), [ResumeNever] or the path of a checkpoint.
	Resume string

	agent  *ppo.Agent
	state  State
	pushed string // digest of the proxy that the server runs
}

// Run trains until the configured number of episodes, from the checkpoint that Resume says. When ctx is
// cancelled it saves and returns ctx's error.
func (l *Loop) Run(ctx context.Context) (State, error) {
	if err := l.restore(); err != nil {
		return State{}, err
	}
	err := l.run(ctx)
	if errors.Is(err, context.Canceled) || err == nil {
		if saveErr := l.save(LastCheckpoint); saveErr != nil {
			return l.state, saveErr
		}
	}
	return l.state, err
}

func (l *Loop) run(ctx context.Context) error {
	if !l.state.Started {
		if err := l.observeGreedy(ctx); err != nil {
			return err
		}
		if err := l.save(LastCheckpoint); err != nil {
			return err
		}
	}
	for announce := true; ; {
		if l.validationDue() {
			if err := l.validate(ctx); err != nil {
				return err
			}
			if err := l.save(LastCheckpoint); err != nil {
				return err
			}
			announce = true
		}
		left := l.Config.Episodes - l.state.Episodes
		if left <= 0 {
			return nil
		}
		if announce {
			l.Reporter.Phase("train", left)
			announce = false
		}
		if err := l.batch(ctx); err != nil {
			return err
		}
		if err := l.save(LastCheckpoint); err != nil {
			return err
		}
	}
}

// validationDue reports whether the policy has come past a point to validate at since it was last validated.
func (l *Loop) validationDue() bool {
	now, last, every := l.state.Episodes, l.state.Validated, l.Config.Eval.Every
	return now > last && (now >= l.Config.Episodes || every > 0 && now/every != last/every)
}

// restore makes the agent, new or from a checkpoint.
func (l *Loop) restore() error {
	inputLength := l.proxyConfig().InputLength()
	var err error
	if l.agent, err = ppo.New(inputLength, l.Config.PPO); err != nil {
		return err
	}
	if found, err := l.resume(); err != nil || !found {
		return err
	}
	return l.agent.Restore(l.state.Agent)
}

func (l *Loop) save(name string) error {
	var err error
	if l.state.Agent, err = l.agent.State(); err != nil {
		return err
	}
	if l.state.Records, err = l.Folder.Mark(run.MetricsFile, SamplesFile); err != nil {
		return err
	}
	return l.Folder.SaveCheckpoint(name, l.state)
}

// proxyConfig is the proxy's file header, but for what training adds to it.
func (l *Loop) proxyConfig() proxy.Config {
	c := l.Config.Proxy
	return proxy.Config{
		Features:          c.Features,
		EmbeddingLength:   l.Base.EmbeddingLength,
		FeedForwardLength: c.HiddenSizes,
		Activation:        c.Activation,
		Pool:              c.Pool(),
		Cutoff:            c.Cutoff,
		Base:              l.Base,
		Training: map[string]any{
			"algorithm": "ppo",
			"episodes":  l.state.Episodes,
			"reward":    l.Config.Reward.Type,
			"seed":      int64(l.Config.Seed),
		},
	}
}

// Proxy returns the policy as it is now, as a server runs it.
func (l *Loop) Proxy() (*proxy.Model, error) { return l.agent.Proxy(l.proxyConfig()) }

// push gives the policy as it is now to the server.
func (l *Loop) push(ctx context.Context) error {
	m, err := l.Proxy()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "proxy-trainer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "policy.gguf")
	if err := m.WriteFile(path); err != nil {
		return err
	}
	l.pushed, err = l.Client.PushFile(ctx, path)
	return err
}

// observeGreedy answers the validation prompts with a proxy that accepts everything, which is greedy decoding: it is the
// baseline that checkpoints are measured by, and gives the features that the first policy is standardised with.
func (l *Loop) observeGreedy(ctx context.Context) error {
	if err := l.push(ctx); err != nil {
		return err
	}
	scores, err := l.answer(ctx, "greedy replies", map[string]any{
		"proxy": l.pushed, "proxy_cutoff": 0.0, "proxy_trace": wire.TraceFeatures,
	})
	if err != nil {
		return err
	}
	for i := range scores.Replies {
		for _, d := range scores.Replies[i].Decisions {
			if len(d.Features) == 0 {
				continue
			}
			if err := l.agent.Observe(Features(d)); err != nil {
				return err
			}
		}
	}
	l.state.Greedy = validation(0, scores)
	l.state.Best = Validation{Reward: math.Inf(-1)}
	l.state.Started = true
	return nil
}

// answer lets the server answer the validation prompts.
func (l *Loop) answer(ctx context.Context, phase string, options map[string]any) (*eval.Scores, error) {
	l.Reporter.Phase(phase, len(l.Validation))
	setting := eval.Setting{
		Prompts: l.Validation, Tokens: l.Config.Tokens, Parallel: l.Config.Ollama.Parallel,
		Reward: l.Reward, MaxDropped: l.Config.RewardMaxDropped,
		Progress: func() { l.Reporter.Reply(nil) },
	}
	return setting.Run(ctx, l.Client, eval.Policy{Name: phase, Model: l.Config.Model, Options: options})
}

// batch rolls out one batch of episodes and updates on it.
func (l *Loop) batch(ctx context.Context) error {
	if err := l.push(ctx); err != nil {
		return err
	}
	start := time.Now()
	replies, err := env.Rollout(ctx, l.Client, l.requests(), l.Config.Ollama.Parallel, l.Reporter.Reply)
	if err != nil {
		return err
	}
	rolled := time.Since(start)
	whole := replies[:0:0]
	for _, r := range replies {
		if r.DoneReason != env.DoneCut {
			whole = append(whole, r)
		}
	}
	payer := Payer{
		Reward: l.Reward, MaxDropped: l.Config.RewardMaxDropped,
		Dense: l.Config.Dense, RejectionCost: l.Config.RejectionCost, Gamma: l.Config.PPO.Gamma,
	}
	paid, err := payer.Pay(ctx, whole)
	if err != nil {
		return err
	}
	start = time.Now()
	metrics := map[string]float64{"proxy/episodes_dropped": float64(len(replies) - len(paid.Replies))}
	update, err := l.agent.Update(paid.Episodes)
	switch {
	case errors.Is(err, rl.ErrNoDecisions):
		metrics["proxy/batches_without_decisions"] = 1
	case err != nil:
		return err
	default:
		maps.Copy(metrics, update.Map())
	}
	l.state.Episodes += len(replies)
	rolloutMetrics(metrics, paid, rolled, time.Since(start))
	objectiveMetrics(metrics, paid.Replies, paid.Episodes, l.Config.RejectionCost)
	if err := l.Folder.AppendMetrics(int64(l.state.Episodes), time.Now(), metrics); err != nil {
		return err
	}
	l.Reporter.Batch(l.state.Episodes, metrics)
	return l.sample(paid)
}

// requests are the next batch's. A prompt comes round when all others have had their turn; each episode explores with a seed of
// its own, so that a run is reproducible wherever the LLM's replies are.
func (l *Loop) requests() []env.Request {
	n := min(l.Config.BatchSize, l.Config.Episodes-l.state.Episodes)
	requests := make([]env.Request, n)
	for i := range requests {
		episode := l.state.Episodes + i
		requests[i] = env.Request{
			Model:  l.Config.Model,
			Prompt: l.Train[episode%len(l.Train)],
			Options: map[string]any{
				"proxy": l.pushed, "proxy_explore": true, "proxy_trace": wire.TraceFeatures,
				"num_predict": l.Config.Tokens,
				"seed":        seed(l.Config.Seed, episode),
			},
		}
	}
	return requests
}

// seed is an episode's, within what JSON numbers and Ollama's option carry exactly.
func seed(run uint64, episode int) int {
	return int(rand.New(rand.NewPCG(run, uint64(episode))).Int32())
}

// validate answers the validation prompts as the exported proxy would, and keeps the policy if it is the best so far: the
// highest reward among those whose perplexity stays within the configured ratio of greedy's.
func (l *Loop) validate(ctx context.Context) error {
	if err := l.push(ctx); err != nil {
		return err
	}
	scores, err := l.answer(ctx, "validation", map[string]any{"proxy": l.pushed})
	if err != nil {
		return err
	}
	v := validation(l.state.Episodes, scores)
	l.state.Validated = v.Episodes
	if err := l.Folder.AppendMetrics(int64(l.state.Episodes), time.Now(), run.Metrics{
		"eval/reward": v.Reward, "eval/perplexity": v.Perplexity, "eval/rejections_per_token": v.Rejections,
		"eval/greedy_reward": l.state.Greedy.Reward, "eval/greedy_perplexity": l.state.Greedy.Perplexity,
	}); err != nil {
		return err
	}
	ratio := l.Config.Eval.MaxPerplexityRatio
	within := ratio == 0 || v.Perplexity <= ratio*l.state.Greedy.Perplexity
	if within && v.Reward > l.state.Best.Reward {
		l.state.Best = v
		if err := l.save(BestCheckpoint); err != nil {
			return err
		}
	}
	return nil
}

func validation(episodes int, s *eval.Scores) Validation {
	var tokens, rejected int
	for i := range s.Replies {
		tokens += s.Replies[i].Tokens
		if p := s.Replies[i].Proxy; p != nil {
			rejected += p.Rejected
		}
	}
	return Validation{
		Episodes: episodes, Reward: stats.Mean(s.Rewards), Perplexity: env.Perplexity(s.Replies),
		Rejections: float64(rejected) / float64(max(tokens, 1)),
	}
}

// ErrNoCheckpoint is a run in which no policy was fit to be exported.
var ErrNoCheckpoint = errors.New("no validation stayed within eval.max_perplexity_ratio of greedy's perplexity: lower the learning rate, raise rejection_cost, or raise the ratio")

// Best returns the best checkpoint's policy.
func (l *Loop) Best() (*proxy.Model, error) {
	m, err := l.Checkpoint(l.Folder.Path(BestCheckpoint))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNoCheckpoint
	}
	return m, err
}

// Checkpoint returns the policy of the checkpoint at path, with its validation, if it was validated, in the file's training record.
func (l *Loop) Checkpoint(path string) (*proxy.Model, error) {
	var s State
	if err := run.LoadCheckpoint(path, &s); err != nil {
		return nil, err
	}
	agent, err := ppo.FromState(s.Agent)
	if err != nil {
		return nil, err
	}
	l.state.Episodes, l.Base = s.Episodes, s.Base
	c := l.proxyConfig()
	if s.Best.Episodes > 0 && s.Best.Episodes == s.Episodes {
		c.Training["validation_reward"] = s.Best.Reward
		c.Training["validation_perplexity"] = s.Best.Perplexity
	}
	if s.Started {
		c.Training["greedy_reward"] = s.Greedy.Reward
		c.Training["greedy_perplexity"] = s.Greedy.Perplexity
	}
	m, err := agent.Proxy(c)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", path, err)
	}
	return m, nil
}
