package ppo

import (
	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/policy"
)

// Options are the knobs of PPO, under CleanRL's names where it has them. Start
// from [DefaultOptions]; the zero value is not valid.
type Options struct {
	policy.Networks `mapstructure:",squash" yaml:",inline"`
	// Epochs is how often each update goes over its batch.
	Epochs int `mapstructure:"update_epochs" yaml:"update_epochs"`
	// MinibatchSize is the largest number of decisions in one step, 2 or more.
	MinibatchSize int `mapstructure:"minibatch_size" yaml:"minibatch_size"`
	// ClipCoef is ε: the ratio to the old policy stops paying outside 1 ± ε.
	ClipCoef float64 `mapstructure:"clip_coef" yaml:"clip_coef"`
	// EntCoef weighs the entropy, in nats, in the actor's objective. 0: none.
	EntCoef float64 `mapstructure:"ent_coef" yaml:"ent_coef"`
	// MaxGradNorm bounds the Euclidean norm of all of one network's gradient.
	// 0: no bound.
	MaxGradNorm float64 `mapstructure:"max_grad_norm" yaml:"max_grad_norm"`
	// Gamma is the discount of a reward for each token it lies ahead, 0 to 1.
	Gamma float64 `mapstructure:"gamma" yaml:"gamma"`
	// GAELambda mixes one-step and whole-episode advantages, for each token, 0 to 1.
	GAELambda float64 `mapstructure:"gae_lambda" yaml:"gae_lambda"`
	// GroupSize is the number of replies to each prompt where the mean of their
	// returns, and not a critic, is the baseline: see the package comment. 0: a critic.
	GroupSize int `mapstructure:"group_size" yaml:"group_size"`
	// NormAdv gives the advantages of each minibatch mean 0 and deviation 1.
	NormAdv bool `mapstructure:"norm_adv" yaml:"norm_adv"`
	// InitialAccept is pi(accept) of the untrained actor, between 0 and 1.
	InitialAccept float64 `mapstructure:"initial_accept" yaml:"initial_accept"`
	// TargetKL ends an update after the epoch whose mean approximate KL exceeds
	// it. 0: never.
	TargetKL float64 `mapstructure:"target_kl" yaml:"target_kl"`
	// Seed of the initial weights and of the order of decisions.
	Seed uint64 `mapstructure:"seed" yaml:"seed"`
}

// DefaultOptions are the settings that learnt fastest at little perplexity in
// trials on a small model, with the paper's hidden size.
func DefaultOptions() Options {
	return Options{
		Networks: policy.Networks{
			HiddenSizes:        []int{2048},
			Activation:         proxy.ReLU,
			LearningRate:       5e-4,
			CriticLearningRate: 1e-3,
			AdamEps:            1e-8,
		},
		Epochs:        4,
		MinibatchSize: 512,
		ClipCoef:      .2,
		EntCoef:       .005,
		MaxGradNorm:   .5,
		Gamma:         1,
		GAELambda:     .9,
		NormAdv:       true,
		InitialAccept: .8,
		Seed:          1,
	}
}

// Validate returns an error that names the first field, as configurations call
// it, that no agent can have.
func (o Options) Validate() error {
	c := policy.Checks{Algorithm: "ppo"}
	c.Networks(o.Networks)
	c.AtLeast(1, "update_epochs", o.Epochs)
	c.AtLeast(2, "minibatch_size", o.MinibatchSize)
	c.Want(o.GroupSize == 0 || o.GroupSize >= 2, "group_size", o.GroupSize, "0 (a critic), or 2 or more")
	c.Chance("clip_coef", o.ClipCoef)
	c.NotNegative("ent_coef", o.EntCoef)
	c.NotNegative("max_grad_norm", o.MaxGradNorm)
	c.Share("gamma", o.Gamma)
	c.Share("gae_lambda", o.GAELambda)
	c.Chance("initial_accept", o.InitialAccept)
	c.NotNegative("target_kl", o.TargetKL)
	return c.Err
}
