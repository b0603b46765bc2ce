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
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

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
	"github.com/proxy-rlhf/proxy-rlhf/trainer/sac"
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
	Algorithm string
	PPO       *ppo.State // nil unless Algorithm is ppo
	SAC       *sac.State // nil unless Algorithm is sac; its decisions lie in BufferFile
	Base      proxy.Base
	Episodes  int // done so far
	// Validated is the number of episodes at the last validation.
	Validated int
	Best      Validation
	Greedy    Validation
	Started   bool // Greedy is known and the features have been observed
	// Records is how much of the recorded files was written by then.
	Records run.Mark
}

// TensorData returns the numbers of the algorithm's networks, for [run.WithTensors].
func (s State) TensorData() [][]float32 {
	switch {
	case s.PPO != nil:
		return s.PPO.TensorData()
	case s.SAC != nil:
		return s.SAC.TensorData()
	}
	return nil
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

	agent  algorithm
	state  State
	pushed string // digest of the proxy that the server runs
}

// Run trains until the configured number of episodes, from the checkpoint that Resume says. When ctx is cancelled it returns
// ctx's error. Whatever ends it, the last checkpoint is of the last whole batch or validation: what came after it is made
// again, and alike, by a run that goes on.
func (l *Loop) Run(ctx context.Context) (State, error) {
	if err := l.restore(); err != nil {
		return State{}, err
	}
	err := l.run(ctx)
	return l.state, errors.Join(err, l.agent.close())
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
			if err := l.catchUp(ctx); err != nil {
				return err
			}
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

// restore makes the algorithm, new or from a checkpoint.
func (l *Loop) restore() error {
	var err error
	if l.agent, err = newAlgorithm(l.Config, l.proxyConfig().InputLength(), l.Folder); err != nil {
		return err
	}
	found, dir, err := l.resume()
	if err == nil && found {
		err = l.agent.restore(&l.state, dir)
		l.state.PPO, l.state.SAC = nil, nil
	}
	if err != nil {
		return errors.Join(err, l.agent.close())
	}
	return nil
}

// save writes a checkpoint. The algorithm's part is its own memory, and no copy, so that nothing may learn meanwhile: what learns
// beside a rollout has ended with it.
func (l *Loop) save(name string) error {
	s := l.state
	if err := l.agent.save(&s); err != nil {
		return err
	}
	var err error
	if s.Records, err = l.Folder.Mark(run.MetricsFile, SamplesFile, DroppedFile); err != nil {
		return err
	}
	return l.Folder.SaveCheckpoint(name, s)
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
			"algorithm": l.Config.Algorithm,
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

// batch rolls out one batch of episodes and learns from it: at once, or beside the rollout of the next batch.
func (l *Loop) batch(ctx context.Context) error {
	if err := l.push(ctx); err != nil {
		return err
	}
	r, err := l.rollout(ctx)
	if err != nil {
		return err
	}
	paid, err := l.pay(ctx, r.replies)
	if err != nil {
		return err
	}
	metrics := map[string]float64{"proxy/episodes_dropped": float64(len(r.replies) - len(paid.Replies))}
	switch err := l.agent.take(paid.Episodes); {
	case errors.Is(err, rl.ErrNoDecisions):
		metrics["proxy/batches_without_decisions"] = 1
	case err != nil:
		return err
	case !l.agent.beside():
		if r.learnt, r.learning, err = l.learn(ctx); err != nil {
			return err
		}
		r.took += r.learning
	}
	maps.Copy(metrics, r.learnt)
	l.state.Episodes += len(r.replies)
	rolloutMetrics(metrics, paid, r)
	objectiveMetrics(metrics, paid)
	if err := l.Folder.AppendMetrics(int64(l.state.Episodes), time.Now(), metrics); err != nil {
		return err
	}
	l.Reporter.Batch(l.state.Episodes, metrics)
	return l.sample(paid)
}

// rolled is a batch of replies, and what was learnt beside it or from it.
type rolled struct {
	replies           []env.Reply
	learnt            map[string]float64
	rolling, learning time.Duration
	took              time.Duration // both together
}

// rollout generates a batch with the policy pushed last while the algorithm, if it can, works on the next.
func (l *Loop) rollout(ctx context.Context) (rolled, error) {
	var r rolled
	start := time.Now()
	g, both := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		r.replies, err = env.Rollout(both, l.Client, l.requests(), l.Config.Ollama.Parallel, l.Reporter.Reply)
		r.rolling = time.Since(start)
		return err
	})
	if l.agent.beside() {
		g.Go(func() (err error) {
			r.learnt, r.learning, err = l.learn(both)
			return err
		})
	}
	err := g.Wait()
	r.took = time.Since(start)
	return r, err
}

// learn makes the updates that are due.
func (l *Loop) learn(ctx context.Context) (map[string]float64, time.Duration, error) {
	start := time.Now()
	m, err := l.agent.learn(ctx)
	return m, time.Since(start), err
}

// catchUp makes the updates that would have run beside the next batch, so that what is validated has learnt from all.
func (l *Loop) catchUp(ctx context.Context) error {
	m, took, err := l.learn(ctx)
	if err != nil || m == nil {
		return err
	}
	m["time/update"] = took.Seconds()
	return l.Folder.AppendMetrics(int64(l.state.Episodes), time.Now(), m)
}

// pay makes episodes of the replies that the server did not cut off. All must be of the policy pushed last.
func (l *Loop) pay(ctx context.Context, replies []env.Reply) (Paid, error) {
	whole := slices.DeleteFunc(slices.Clone(replies), func(r env.Reply) bool { return r.DoneReason == env.DoneCut })
	payer := Payer{
		Reward: l.Reward, MaxDropped: l.Config.RewardMaxDropped,
		Dense: l.Config.Dense, RejectionCost: l.Config.RejectionCost, KLCoef: l.Config.KLCoef,
	}
	paid, err := l.agent.pay(payer).Pay(ctx, whole)
	if err != nil {
		return Paid{}, err
	}
	for i := range paid.Episodes {
		if e := &paid.Episodes[i]; e.Policy != l.pushed {
			return Paid{}, fmt.Errorf("reply to prompt %s: the policy %q decided and not %s, which was asked for: is another program changing what the server runs?", e.Prompt, e.Policy, l.pushed)
		}
	}
	return paid, nil
}

// requests are the next batch's. A prompt comes round when all others have had their turn, and has several in a row where the
// algorithm compares the replies to one prompt; each episode explores with a seed of its own, so that a run is reproducible wherever the LLM's replies are.
func (l *Loop) requests() []env.Request {
	n := min(l.Config.BatchSize, l.Config.Episodes-l.state.Episodes)
	requests := make([]env.Request, n)
	for i := range requests {
		episode := l.state.Episodes + i
		requests[i] = env.Request{
			Model:  l.Config.Model,
			Prompt: l.Train[episode/l.agent.group()%len(l.Train)],
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
	metrics := run.Metrics{
		"eval/reward": v.Reward, "eval/perplexity": v.Perplexity, "eval/rejections_per_token": v.Rejections,
		"eval/greedy_reward": l.state.Greedy.Reward, "eval/greedy_perplexity": l.state.Greedy.Perplexity,
	}
	termMetrics(metrics, "eval/", scores.Terms)
	if err := l.Folder.AppendMetrics(int64(l.state.Episodes), time.Now(), metrics); err != nil {
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
	l.state.Episodes, l.Base = s.Episodes, s.Base
	c := l.proxyConfig()
	policy, err := s.Policy()
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", path, err)
	}
	if s.Best.Episodes > 0 && s.Best.Episodes == s.Episodes {
		c.Training["validation_reward"] = s.Best.Reward
		c.Training["validation_perplexity"] = s.Best.Perplexity
	}
	if s.Started {
		c.Training["greedy_reward"] = s.Greedy.Reward
		c.Training["greedy_perplexity"] = s.Greedy.Perplexity
	}
	m, err := policy.Proxy(c)
	if err != nil {
		return nil, fmt.Errorf("export %s: %w", path, err)
	}
	return m, nil
}
