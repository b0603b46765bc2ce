package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// problem is one thing that is wrong. It begins with the dotted key.
type problem string

func (p problem) Error() string { return string(p) }

// key returns the key that the problem begins with, without what follows in
// brackets.
func (p problem) key() string {
	end := strings.IndexAny(string(p), " :[")
	if end < 0 {
		return string(p)
	}
	return string(p[:end])
}

// Validate returns an error that lists every knob that no run can have: its
// dotted name, its value and what is wanted.
func (c Config) Validate() error {
	var errs []error
	for _, p := range c.problems() {
		errs = append(errs, fmt.Errorf("config: %w", p))
	}
	return errors.Join(errs...)
}

// problems lists them in the order of the struct.
func (c Config) problems() []problem {
	return slices.Concat(c.checkRun(), c.Ollama.check(c.Tokens), c.checkPrompts(),
		c.Proxy.check(), c.checkReward(), c.checkTraining(), c.Eval.check(), c.checkSweep())
}

// checks collects problems.
type checks []problem

// want adds a problem unless ok.
func (cs *checks) want(ok bool, key string, value any, want string) {
	if !ok {
		*cs = append(*cs, problem(fmt.Sprintf("%s is %v, want %s", key, value, want)))
	}
}

// borrowedError adds what the Validate of another package says. Its text begins
// with the name of the package and a field; section stands before the field.
func (cs *checks) borrowedError(err error, prefix, section string) {
	if err != nil {
		*cs = append(*cs, problem(section+strings.TrimPrefix(err.Error(), prefix)))
	}
}

func finite(x float64) bool { return math.Abs(x) <= math.MaxFloat64 } // false of NaN

func unit(x float64) bool { return x >= 0 && x <= 1 }

// modelName is what both Ollama and file systems take as a name.
var modelName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$`)

func (c Config) checkRun() (cs checks) {
	cs.want(modelName.MatchString(c.Name), "name", fmt.Sprintf("%q", c.Name),
		"1 to 80 letters, digits, dots, hyphens and underscores, the first a letter, a digit or an underscore")
	cs.want(c.Model != "", "model", `""`, "the name of a model, such as smollm2:135m")
	return cs
}

func (o Ollama) check(tokens int) (cs checks) {
	cs.want(!strings.ContainsAny(o.Host, " ,"), "ollama.host", fmt.Sprintf("%q", o.Host), "one address, such as 127.0.0.1:11434")
	for i, host := range o.Hosts {
		key := fmt.Sprintf("ollama.hosts[%d]", i)
		cs.want(host != "" && !strings.ContainsAny(host, " ,"), key, fmt.Sprintf("%q", host), "one address, such as 127.0.0.1:11434")
		cs.want(!slices.Contains(o.Hosts[:i], host), key, fmt.Sprintf("%q", host), "each address once")
	}
	running := len(o.Addresses()) > 0
	cs.want(running || o.Binary != "", "ollama.binary", `""`, "the ollama to start, or set ollama.host")
	cs.want(running || o.Store != "", "ollama.store", `""`, "a folder for models, or set ollama.host")
	cs.want(o.Parallel >= 0, "ollama.parallel", o.Parallel, "0 (the server's limit) or more")
	cs.want(o.ContextLength > tokens, "ollama.context_length", o.ContextLength,
		fmt.Sprintf("room for the prompt and %d tokens of reply", tokens))
	cs.want(o.Timeout > 0, "ollama.timeout", o.Timeout, "more than 0")
	return cs
}

func (c Config) checkPrompts() (cs checks) {
	cs.borrowedError(c.Prompts.Options.Validate(), "prompts: ", "prompts.")
	cs.want(c.Prompts.MaxTokens == 0 || c.Prompts.MaxTokens+c.Tokens <= c.Ollama.ContextLength, "prompts.max_tokens", c.Prompts.MaxTokens,
		fmt.Sprintf("%d at most, which with %d tokens of reply fill ollama.context_length %d", c.Ollama.ContextLength-c.Tokens, c.Tokens, c.Ollama.ContextLength))
	cs.want(c.Prompts.Validation >= 1, "prompts.validation", c.Prompts.Validation, "1 or more, since the checkpoint is chosen by them")
	return cs
}

func (p Proxy) check() (cs checks) {
	cs.want(p.Features == proxy.Prefix || p.Features == proxy.Lookahead, "proxy.features",
		fmt.Sprintf("%q", p.Features), "prefix or lookahead")
	for i, n := range p.HiddenSizes {
		cs.want(n >= 1, fmt.Sprintf("proxy.hidden_sizes[%d]", i), n, "1 or more")
	}
	cs.want(slices.Contains([]proxy.Activation{proxy.ReLU, proxy.Tanh, proxy.SiLU}, p.Activation),
		"proxy.activation", fmt.Sprintf("%q", p.Activation), "relu, tanh or silu")
	cs.want(unit(p.PT), "proxy.p_t", p.PT, "0 (any) to 1")
	cs.want(p.Temperature >= 0 && finite(p.Temperature), "proxy.temperature", p.Temperature, "0 or more")
	cs.want(unit(p.TopP), "proxy.top_p", p.TopP, "0 to 1 (off)")
	cs.want(unit(p.MinP), "proxy.min_p", p.MinP, "0 (off) to 1")
	cs.want(p.TopK >= 0, "proxy.top_k", p.TopK, "0 (off) or more")
	cs.want(p.MaxRejections >= 0, "proxy.max_rejections", p.MaxRejections, "0 (no bound) or more")
	cs.want(unit(p.Cutoff), "proxy.cutoff", p.Cutoff, "0 to 1")
	return cs
}

func (c Config) checkReward() (cs checks) {
	if c.Reward.Type == "" {
		return checks{problem("reward.type is \"\", want what to train for: one of " + strings.Join(reward.Types(), ", "))}
	}
	cs.borrowedError(c.Reward.Validate(), "reward: ", "reward.")
	cs.want(!c.Dense || c.Reward.HasPrefixes(), "dense", c.Dense,
		fmt.Sprintf("false, since a reward of type %s has no score on part of a reply", c.Reward.Type))
	cs.want(unit(c.RewardMaxDropped), "reward_max_dropped", c.RewardMaxDropped, "0 (none) to 1 (any)")
	cs.want(c.RejectionCost >= 0 && finite(c.RejectionCost), "rejection_cost", c.RejectionCost, "0 or more")
	cs.want(c.KLCoef >= 0 && finite(c.KLCoef), "kl_coef", c.KLCoef, "0 or more")
	return cs
}

func (c Config) checkTraining() (cs checks) {
	cs.want(c.Episodes >= 1, "episodes", c.Episodes, "1 or more")
	cs.want(c.BatchSize >= 1, "batch_size", c.BatchSize, "1 or more")
	if c.Episodes >= 1 && c.BatchSize >= 1 {
		cs.want(c.Episodes%c.BatchSize == 0, "episodes", c.Episodes,
			fmt.Sprintf("a multiple of batch_size, such as %d", (c.Episodes/c.BatchSize+1)*c.BatchSize))
	}
	if n := c.PPO.GroupSize; c.Algorithm == PPO && n > 1 && c.BatchSize >= 1 {
		cs.want(c.BatchSize%n == 0, "batch_size", c.BatchSize, fmt.Sprintf("a multiple of ppo.group_size %d", n))
	}
	cs.want(c.Tokens >= 1, "tokens", c.Tokens, "1 or more")
	cs.want(c.Algorithm == PPO || c.Algorithm == SAC, "algorithm", fmt.Sprintf("%q", c.Algorithm), "ppo or sac")
	// Sizes and activation have been looked at under the names that users know.
	d := Default()
	p, s := c.PPO, c.SAC
	p.HiddenSizes, p.Activation = d.PPO.HiddenSizes, d.PPO.Activation
	s.HiddenSizes, s.Activation = d.SAC.HiddenSizes, d.SAC.Activation
	cs.borrowedError(p.Validate(), "ppo: option ", "ppo.")
	cs.borrowedError(s.Validate(), "sac: option ", "sac.")
	done := c.Complete()
	cs.want(slices.Equal(c.PPO.HiddenSizes, done.PPO.HiddenSizes) && c.PPO.Activation == done.PPO.Activation && c.PPO.Seed == done.PPO.Seed,
		"ppo", "not what proxy and seed say", "Complete to have been called")
	cs.want(slices.Equal(c.SAC.HiddenSizes, done.SAC.HiddenSizes) && c.SAC.Activation == done.SAC.Activation && c.SAC.Seed == done.SAC.Seed,
		"sac", "not what proxy and seed say", "Complete to have been called")
	return cs
}

func (e Eval) check() (cs checks) {
	cs.want(e.Every >= 0, "eval.every", e.Every, "0 (only at the end) or more")
	cs.want(e.MaxPerplexityRatio == 0 || (e.MaxPerplexityRatio >= 1 && finite(e.MaxPerplexityRatio)),
		"eval.max_perplexity_ratio", e.MaxPerplexityRatio, "0 (no limit), or 1 or more")
	cs.want(e.BootstrapSamples >= 1, "eval.bootstrap_samples", e.BootstrapSamples, "1 or more")
	cs.want(e.Prompts >= 0, "eval.prompts", e.Prompts, "0 (all) or more")
	for i, p := range e.Policies {
		cs.want(slices.Contains([]string{PolicyGreedy, PolicySample, PolicyProxy}, p), fmt.Sprintf("eval.policies[%d]", i),
			fmt.Sprintf("%q", p), "greedy, sample or proxy")
	}
	cs.want(e.SampleTemperature > 0 && finite(e.SampleTemperature), "eval.sample_temperature", e.SampleTemperature, "more than 0")
	cs.want(unit(e.SampleTopP), "eval.sample_top_p", e.SampleTopP, "0 to 1 (off)")
	cs.want(e.SampleTopK >= 0, "eval.sample_top_k", e.SampleTopK, "0 (off) or more")
	for i, n := range e.BestOf {
		cs.want(n >= 1, fmt.Sprintf("eval.best_of[%d]", i), n, "1 or more")
	}
	if e.Reward2 != nil {
		cs.borrowedError(e.Reward2.Validate(), "reward: ", "eval.reward2: ")
	}
	return append(cs, e.Judge.check()...)
}

func (j *Judge) check() (cs checks) {
	if j == nil {
		return nil
	}
	cs.want(j.Model != "", "eval.judge: model", `""`, "the name of a model, such as llama3.1:8b")
	cs.want(!strings.ContainsAny(j.Host, " ,"), "eval.judge: host", fmt.Sprintf("%q", j.Host), "one address, such as 127.0.0.1:11434")
	return cs
}

// checkSweep looks at the values of the grid alone; whether a combination is valid is for who makes it to ask.
func (c Config) checkSweep() (cs checks) {
	cs.want(c.Sweep.Seeds >= 0, "sweep.seeds", c.Sweep.Seeds, "0 (one) or more")
	for _, key := range slices.Sorted(maps.Keys(c.Sweep.Grid)) {
		values := c.Sweep.Grid[key]
		switch {
		case notSwept.MatchString(key):
			cs = append(cs, problem(fmt.Sprintf("sweep.grid: %q is not to be varied: all runs share the servers, and of seeds say how many with sweep.seeds", key)))
			continue
		case len(values) == 0:
			cs = append(cs, problem(fmt.Sprintf("sweep.grid: %q has no values, want at least one", key)))
		}
		for i, text := range values {
			if _, err := c.With(key, text); err != nil {
				cs = append(cs, problem("sweep.grid: "+err.Error()))
			}
			if slices.Contains(values[:i], text) {
				cs = append(cs, problem(fmt.Sprintf("sweep.grid: %s has %s twice", key, text)))
			}
		}
	}
	return cs
}

// notSwept are the knobs that the sweep sets itself, and those of the servers, which are the same for all runs.
var notSwept = regexp.MustCompile(`^(name|run|seed|model_file|ollama\..*|sweep\..*)$`)
