package sac

import (
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Options are the knobs of SAC, under CleanRL's names where it has them. Start from
// [DefaultOptions]; the zero value is not valid.
type Options struct {
	// HiddenSizes are the sizes of the hidden layers of the actor and of each
	// critic. Empty means none.
	HiddenSizes []int `mapstructure:"hidden_sizes" yaml:"hidden_sizes"`
	// Activation comes after every hidden layer.
	Activation proxy.Activation `mapstructure:"activation" yaml:"activation"`
	// LearningRate is the actor's step size. 0 freezes it.
	LearningRate float64 `mapstructure:"learning_rate" yaml:"learning_rate"`
	// CriticLearningRate is the critics' and the temperature's step size. 0 freezes
	// them.
	CriticLearningRate float64 `mapstructure:"critic_learning_rate" yaml:"critic_learning_rate"`
	// AdamEps is added to the root of the second moment.
	AdamEps float64 `mapstructure:"adam_eps" yaml:"adam_eps"`
	// MinibatchSize is the number of decisions that each update draws.
	MinibatchSize int `mapstructure:"minibatch_size" yaml:"minibatch_size"`
	// UpdatesPerEpisode is the number of updates for each reply that was added.
	UpdatesPerEpisode int `mapstructure:"updates_per_episode" yaml:"updates_per_episode"`
	// LearningStarts is the number of decisions that the buffer must hold: replies
	// that leave it with fewer make no update due. 0: none.
	LearningStarts int `mapstructure:"learning_starts" yaml:"learning_starts"`
	// BufferSize is the largest number of decisions to replay.
	BufferSize int `mapstructure:"buffer_size" yaml:"buffer_size"`
	// BufferBytes bounds the buffer's memory and file. A decision takes 2 bytes for
	// each feature and 32 more; a quarter of the bytes is for what comes in between
	// checkpoints.
	BufferBytes int `mapstructure:"buffer_bytes" yaml:"buffer_bytes"`
	// BufferSpill keeps the buffer on disk only.
	BufferSpill bool `mapstructure:"buffer_spill" yaml:"buffer_spill"`
	// Gamma is the discount of what is earned for each token it lies ahead, 0 to 1.
	Gamma float64 `mapstructure:"gamma" yaml:"gamma"`
	// Tau is the share of the critics that their targets take on after each update,
	// above 0 to 1.
	Tau float64 `mapstructure:"tau" yaml:"tau"`
	// MaxGradNorm bounds the Euclidean norm of each network's gradient. 0: no bound.
	MaxGradNorm float64 `mapstructure:"max_grad_norm" yaml:"max_grad_norm"`
	// Alpha is the temperature, the reward that a nat of entropy is worth; with
	// Autotune only at first. Above 0.
	Alpha float64 `mapstructure:"alpha" yaml:"alpha"`
	// Autotune moves the temperature so that the policy keeps its target entropy.
	Autotune bool `mapstructure:"autotune" yaml:"autotune"`
	// TargetEntropyScale is the target entropy as a share of that of a fair coin,
	// ln 2 nats, 0 to 1.
	TargetEntropyScale float64 `mapstructure:"target_entropy_scale" yaml:"target_entropy_scale"`
	// PostBack asks whoever pays the episodes to pay a reward that comes only at the
	// end of a reply to every decision of it, discounted, instead of to the last one:
	// with the reward only at the end SAC learnt nothing in trials. A reward that is
	// paid token by token is left as it is.
	PostBack bool `mapstructure:"post_back" yaml:"post_back"`
	// InitialAccept is pi(accept) of the untrained actor, between 0 and 1.
	InitialAccept float64 `mapstructure:"initial_accept" yaml:"initial_accept"`
	// Seed of the initial weights and of the decisions that are drawn.
	Seed uint64 `mapstructure:"seed" yaml:"seed"`
}

// DefaultOptions are the settings of the follow-up by the paper's authors. Not from
// there: the size of the buffer in bytes, the start at pi(accept) 0.8, and a
// temperature that starts at the size of a token's reward and not of a whole
// reply's.
func DefaultOptions() Options {
	return Options{
		HiddenSizes:        []int{2048},
		Activation:         proxy.ReLU,
		LearningRate:       3e-4,
		CriticLearningRate: 3e-4,
		AdamEps:            1e-8,
		MinibatchSize:      1024,
		UpdatesPerEpisode:  10,
		LearningStarts:     1024,
		BufferSize:         1_000_000,
		BufferBytes:        1 << 30,
		Gamma:              .99,
		Tau:                .005,
		MaxGradNorm:        .5,
		Alpha:              .05,
		Autotune:           true,
		TargetEntropyScale: .6,
		PostBack:           true,
		InitialAccept:      .8,
		Seed:               1,
	}
}

// Validate returns an error that names the first field, as configurations call it,
// that no agent can have.
func (o Options) Validate() error {
	for i, n := range o.HiddenSizes {
		if n < 1 {
			return optionError(fmt.Sprintf("hidden_sizes[%d]", i), n, "1 or more")
		}
	}
	switch o.Activation {
	case proxy.ReLU, proxy.Tanh, proxy.SiLU:
	default:
		return optionError("activation", fmt.Sprintf("%q", o.Activation), "relu, tanh or silu")
	}
	for _, f := range []struct {
		name  string
		value int64
		least int64
	}{
		{"minibatch_size", int64(o.MinibatchSize), 1},
		{"updates_per_episode", int64(o.UpdatesPerEpisode), 1},
		{"learning_starts", int64(o.LearningStarts), 0},
		{"buffer_size", int64(o.BufferSize), 1},
		{"buffer_bytes", int64(o.BufferBytes), 1 << 16},
	} {
		if f.value < f.least {
			return optionError(f.name, f.value, fmt.Sprintf("%d or more", f.least))
		}
	}
	for _, f := range []struct {
		name  string
		value float64
		ok    bool
		want  string
	}{
		{"learning_rate", o.LearningRate, o.LearningRate >= 0, "0 or more"},
		{"critic_learning_rate", o.CriticLearningRate, o.CriticLearningRate >= 0, "0 or more"},
		{"adam_eps", o.AdamEps, o.AdamEps >= 1e-30, "1e-30 or more"},
		{"gamma", o.Gamma, o.Gamma >= 0 && o.Gamma <= 1, "0 to 1"},
		{"tau", o.Tau, o.Tau > 0 && o.Tau <= 1, "above 0 to 1"},
		{"max_grad_norm", o.MaxGradNorm, o.MaxGradNorm >= 0, "0 or more"},
		{"alpha", o.Alpha, o.Alpha > 0, "above 0"},
		{"target_entropy_scale", o.TargetEntropyScale, o.TargetEntropyScale >= 0 && o.TargetEntropyScale <= 1, "0 to 1"},
		{"initial_accept", o.InitialAccept, o.InitialAccept > 0 && o.InitialAccept < 1, "between 0 and 1"},
	} {
		if !f.ok || math.IsInf(f.value, 0) { // NaN fails every comparison
			return optionError(f.name, f.value, f.want)
		}
	}
	return nil
}

func optionError(field string, value any, want string) error {
	return fmt.Errorf("sac: option %s is %v, want %s", field, value, want)
}
