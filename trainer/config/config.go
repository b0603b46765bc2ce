package config

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/ppo"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/sac"
)

// The values of Config.Algorithm.
const (
	PPO = "ppo"
	SAC = "sac"
)

// Config is the whole configuration of a run. The tag doc is the help text of
// the flag and the comment in the saved file; the fields of other packages have
// theirs in this package's borrowed table. Start from [Default] or [Load].
type Config struct {
	Name      string  `mapstructure:"name" doc:"name of the exported model, and of the run folder if run is empty"`
	Seed      uint64  `mapstructure:"seed" doc:"seed of weights, minibatches, replies and intervals"`
	Run       string  `mapstructure:"run" doc:"run folder; empty: runs/<name>"`
	Model     string  `mapstructure:"model" doc:"the frozen LLM, by its Ollama name"`
	ModelFile string  `mapstructure:"model_file" doc:"GGUF file to create model from where the server lacks it and cannot pull it; empty: none"`
	Ollama    Ollama  `mapstructure:"ollama"`
	Prompts   Prompts `mapstructure:"prompts"`
	Proxy     Proxy   `mapstructure:"proxy"`
	// Reward has no default: what to train for is for the user to say.
	Reward reward.Spec `mapstructure:"reward"`
	// RewardMaxDropped is about replies that have no reward: a dropped one is not learnt from.
	RewardMaxDropped float64 `mapstructure:"reward_max_dropped" doc:"share of a batch or an evaluation that the reward may fail on and that is left out; more end the run"`
	Dense            bool    `mapstructure:"dense" doc:"pay each token the change of the reward it makes, instead of all at the end, where there is a reward on part of a reply (not of http, ollama and command)"`
	RejectionCost    float64 `mapstructure:"rejection_cost" doc:"reward taken away for each rejection; 0: none"`
	KLCoef           float64 `mapstructure:"kl_coef" doc:"weight of a term that keeps each decision near the LLM's own probability of the candidate, as a reward for each nat; 0: none"`
	Episodes         int     `mapstructure:"episodes" doc:"replies to train on; a multiple of batch_size"`
	BatchSize        int     `mapstructure:"batch_size" doc:"replies for each update"`
	Tokens           int     `mapstructure:"tokens" doc:"longest reply, in tokens (Ollama's num_predict)"`
	Algorithm        string  `mapstructure:"algorithm" doc:"ppo or sac"`
	// PPO and SAC have three fields each that are no knobs of their own: see
	// [Config.Complete].
	PPO   ppo.Options `mapstructure:"ppo"`
	SAC   sac.Options `mapstructure:"sac"`
	Eval  Eval        `mapstructure:"eval"`
	Sweep Sweep       `mapstructure:"sweep" yaml:"sweep,omitempty"`
}

// Hosts are addresses. On the command line they are written with commas, which no
// address has, where other lists of texts are YAML.
type Hosts []string

// Ollama says where the LLM runs.
type Ollama struct {
	Host          string        `mapstructure:"host" doc:"address of a running patched server; empty: OLLAMA_HOST, or else start binary on a free loopback port"`
	Hosts         Hosts         `mapstructure:"hosts" doc:"addresses of several running patched servers, instead of host: each reply comes from the one with the most free slots"`
	Binary        string        `mapstructure:"binary" doc:"the patched ollama to start"`
	Store         string        `mapstructure:"store" doc:"model store of a started server"`
	Parallel      int           `mapstructure:"parallel" doc:"replies generated at once by each server; 0: as many as a running server has slots, 32 by a started one"`
	ContextLength int           `mapstructure:"context_length" doc:"tokens of prompt and reply that fit one of the parallel slots"`
	Timeout       time.Duration `mapstructure:"timeout" doc:"longest wait for one reply, such as 90s or 5m"`
}

// StartedParallel is Parallel of a server that is started, where it is not set:
// with more requests at once a CPU was no faster.
const StartedParallel = 32

// Prompts says which prompts to train on, to choose the checkpoint by, and to
// hold out.
type Prompts struct {
	prompts.Options `mapstructure:",squash"`
	Validation      int `mapstructure:"validation" doc:"training prompts set aside to choose the checkpoint by"`
}

// Proxy is the network, and the pool of candidates that it is trained in.
type Proxy struct {
	Features      proxy.Features   `mapstructure:"features" doc:"what the proxy sees: prefix (no extra forward passes) or lookahead (the paper's, one more for each rejection)"`
	HiddenSizes   []int            `mapstructure:"hidden_sizes" doc:"sizes of the hidden layers, of the actor and of the critic; the paper has 2048"`
	Activation    proxy.Activation `mapstructure:"activation" doc:"function between layers: relu, tanh or silu"`
	PT            float64          `mapstructure:"p_t" doc:"the paper's p_t: no more rejections once the mean probability of the candidates left is at most this; 0: until one is left"`
	Temperature   float64          `mapstructure:"temperature" doc:"temperature of the candidate pool"`
	TopP          float64          `mapstructure:"top_p" doc:"probability mass of the candidate pool; 1: all"`
	MinP          float64          `mapstructure:"min_p" doc:"least probability of a candidate as a share of the first one's; 0: any"`
	TopK          int              `mapstructure:"top_k" doc:"largest number of candidates; 0: any, without which p_t does not mean what it does in the paper"`
	MaxRejections int              `mapstructure:"max_rejections" doc:"largest number of rejections for each token; 0: any"`
	Cutoff        float64          `mapstructure:"cutoff" doc:"a served proxy accepts from this pi(accept) on"`
}

// Eval says how often and how thoroughly to look at the proxy.
type Eval struct {
	Every              int     `mapstructure:"every" doc:"episodes between validations; 0: only at the end"`
	MaxPerplexityRatio float64 `mapstructure:"max_perplexity_ratio" doc:"a checkpoint whose replies have more than this times the perplexity of greedy ones is not chosen; 0: no limit"`
	BootstrapSamples   int     `mapstructure:"bootstrap_samples" doc:"resamples for 95 % intervals"`
	Prompts            int     `mapstructure:"prompts" doc:"held-out prompts to evaluate on; 0: all"`
}

// Default returns the settings that learnt best in trials on a small model, with
// the paper's hidden size. They are valid but for the reward, which has none.
func Default() Config {
	pool := sampler.DefaultOptions()
	algorithm := ppo.DefaultOptions()
	return Config{
		Name:      "proxy",
		Seed:      1,
		Model:     "smollm2:135m",
		ModelFile: ".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf",
		Ollama: Ollama{
			Binary:        "bin/ollama",
			Store:         ".cache/ollama",
			ContextLength: 512,
			Timeout:       5 * time.Minute,
		},
		Prompts: Prompts{
			Options: prompts.Options{
				Path:          "configs/prompts.jsonl",
				MaxCharacters: 1000,
				Seed:          1,
				HoldOut:       96,
			},
			Validation: 32,
		},
		Proxy: Proxy{
			Features:      proxy.Prefix,
			HiddenSizes:   algorithm.HiddenSizes,
			Activation:    algorithm.Activation,
			PT:            pool.PT,
			Temperature:   pool.Temperature,
			TopP:          pool.TopP,
			MinP:          pool.MinP,
			TopK:          pool.TopK,
			MaxRejections: pool.MaxRejections,
			Cutoff:        proxy.DefaultCutoff,
		},
		RewardMaxDropped: 0.25,
		Dense:            true,
		RejectionCost:    0.01,
		Episodes:         384,
		BatchSize:        64,
		Tokens:           44,
		Algorithm:        PPO,
		PPO:              algorithm,
		SAC:              sac.DefaultOptions(),
		Eval: Eval{
			Every:              128,
			MaxPerplexityRatio: 1.5,
			BootstrapSamples:   10000,
		},
	}.Complete()
}

// derived are the fields of the algorithms' options that are no knobs:
// [Config.Complete] sets them from others.
var derived = []string{
	"ppo.hidden_sizes", "ppo.activation", "ppo.seed",
	"sac.hidden_sizes", "sac.activation", "sac.seed",
}

// Complete returns c with the fields of PPO and SAC that follow from others: hidden
// sizes and activation from Proxy, and the seed. Load and Default have done it;
// call it after changing one of those in code.
func (c Config) Complete() Config {
	c.PPO.HiddenSizes = slices.Clone(c.Proxy.HiddenSizes)
	c.PPO.Activation = c.Proxy.Activation
	c.PPO.Seed = c.Seed
	c.SAC.HiddenSizes = slices.Clone(c.Proxy.HiddenSizes)
	c.SAC.Activation = c.Proxy.Activation
	c.SAC.Seed = c.Seed
	return c
}

// Sweep is what proxy-trainer sweep varies; all else is the same for every cell of its grid.
type Sweep struct {
	Grid  map[string][]string `mapstructure:"grid" doc:"values of each knob to vary, by its dotted name; every combination is a run"`
	Seeds int                 `mapstructure:"seeds" doc:"runs of each combination, with seed, seed + 1 and so on; 0: one"`
}

// Addresses are the servers to use: Hosts, or Host alone, or none, which means to start one.
func (o Ollama) Addresses() []string {
	switch {
	case len(o.Hosts) > 0:
		return slices.Clone(o.Hosts)
	case o.Host != "":
		return []string{o.Host}
	}
	return nil
}

// With returns c with the knob of a dotted name set to what text says, as a flag would set it. The result is complete but need
// not be valid. The error names the knob, and the one that was probably meant by a wrong name.
func (c Config) With(key, text string) (Config, error) {
	all := knobs()
	i := slices.IndexFunc(all, func(f field) bool { return f.key == key })
	if i < 0 {
		return Config{}, unknown(key, schema())
	}
	v, err := decodeText(all[i], text)
	if err != nil {
		return Config{}, err
	}
	all[i].value(&c).Set(v)
	return c.Complete(), nil
}

// RunFolder returns the run folder: Run, or runs/<name>.
func (c Config) RunFolder() string {
	if c.Run != "" {
		return c.Run
	}
	return filepath.Join("runs", c.Name)
}

// Pool returns the candidate pool as the sampler takes it.
func (p Proxy) Pool() sampler.Options {
	return sampler.Options{
		Temperature:   p.Temperature,
		TopK:          p.TopK,
		TopP:          p.TopP,
		MinP:          p.MinP,
		PT:            p.PT,
		MaxRejections: p.MaxRejections,
	}
}

// Texts returns the value of every knob, by its dotted name, as its flag takes it.
func (c Config) Texts() map[string]string {
	out := make(map[string]string)
	for _, f := range knobs() {
		out[f.key] = (&flagValue{knob: f, value: f.value(&c)}).String()
	}
	return out
}

// Parameters counts the weights and biases of a network with the hidden layers of
// p between inputs and outputs.
func (p Proxy) Parameters(inputs, outputs int) (total int64) {
	for _, out := range append(slices.Clone(p.HiddenSizes), outputs) {
		total += int64(inputs+1) * int64(out)
		inputs = out
	}
	return total
}
