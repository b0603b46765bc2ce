package sac

import (
	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/policy"
)

// Options are the knobs of SAC, under CleanRL's names where it has them. Start from
// [DefaultOptions]; the zero value is not valid.
type Options struct {
	policy.Networks `mapstructure:",squash" yaml:",inline"`
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
		Networks: policy.Networks{
			HiddenSizes:        []int{2048},
			Activation:         proxy.ReLU,
			LearningRate:       3e-4,
			CriticLearningRate: 3e-4,
			AdamEps:            1e-8,
		},
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
	c := policy.Checks{Algorithm: "sac"}
	c.Networks(o.Networks)
	c.AtLeast(1, "minibatch_size", o.MinibatchSize)
	c.AtLeast(1, "updates_per_episode", o.UpdatesPerEpisode)
	c.AtLeast(0, "learning_starts", o.LearningStarts)
	c.AtLeast(1, "buffer_size", o.BufferSize)
	c.AtLeast(1<<16, "buffer_bytes", o.BufferBytes)
	c.Share("gamma", o.Gamma)
	c.Number(o.Tau > 0 && o.Tau <= 1, "tau", o.Tau, "above 0 to 1")
	c.NotNegative("max_grad_norm", o.MaxGradNorm)
	c.Number(o.Alpha > 0, "alpha", o.Alpha, "above 0")
	c.Share("target_entropy_scale", o.TargetEntropyScale)
	c.Chance("initial_accept", o.InitialAccept)
	return c.Err
}
