package ppo

import (
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Options are the knobs of PPO, under CleanRL's names where it has them. Start
// from [DefaultOptions]; the zero value is not valid.
type Options struct {
	// HiddenSizes are the sizes of the hidden layers of the actor and, apart from
	// it, of the critic. Empty means none: logistic and linear regression.
	HiddenSizes []int `mapstructure:"hidden_sizes" yaml:"hidden_sizes"`
	// Activation comes after every hidden layer.
	Activation proxy.Activation `mapstructure:"activation" yaml:"activation"`
	// LearningRate is the actor's step size. 0 freezes it.
	LearningRate float64 `mapstructure:"learning_rate" yaml:"learning_rate"`
	// CriticLearningRate is the critic's step size. 0 freezes it.
	CriticLearningRate float64 `mapstructure:"critic_learning_rate" yaml:"critic_learning_rate"`
	// AdamEps is added to the root of the second moment. The smaller it is, the
	// less a step depends on the scale of the gradient and on the layer's width.
	AdamEps float64 `mapstructure:"adam_eps" yaml:"adam_eps"`
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
		HiddenSizes:        []int{2048},
		Activation:         proxy.ReLU,
		LearningRate:       5e-4,
		CriticLearningRate: 1e-3,
		AdamEps:            1e-8,
		Epochs:             4,
		MinibatchSize:      512,
		ClipCoef:           .2,
		EntCoef:            .005,
		MaxGradNorm:        .5,
		Gamma:              1,
		GAELambda:          .9,
		NormAdv:            true,
		InitialAccept:      .8,
		Seed:               1,
	}
}

// Validate returns an error that names the first field, as configurations call
// it, that no agent can have.
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
	if o.Epochs < 1 {
		return optionError("update_epochs", o.Epochs, "1 or more")
	}
	if o.MinibatchSize < 2 {
		return optionError("minibatch_size", o.MinibatchSize, "2 or more")
	}
	if o.GroupSize != 0 && o.GroupSize < 2 {
		return optionError("group_size", o.GroupSize, "0 (a critic), or 2 or more")
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
		{"clip_coef", o.ClipCoef, o.ClipCoef > 0 && o.ClipCoef < 1, "between 0 and 1"},
		{"ent_coef", o.EntCoef, o.EntCoef >= 0, "0 or more"},
		{"max_grad_norm", o.MaxGradNorm, o.MaxGradNorm >= 0, "0 or more"},
		{"gamma", o.Gamma, o.Gamma >= 0 && o.Gamma <= 1, "0 to 1"},
		{"gae_lambda", o.GAELambda, o.GAELambda >= 0 && o.GAELambda <= 1, "0 to 1"},
		{"initial_accept", o.InitialAccept, o.InitialAccept > 0 && o.InitialAccept < 1, "between 0 and 1"},
		{"target_kl", o.TargetKL, o.TargetKL >= 0, "0 or more"},
	} {
		if !f.ok || math.IsInf(f.value, 0) { // NaN fails every comparison
			return optionError(f.name, f.value, f.want)
		}
	}
	return nil
}

func optionError(field string, value any, want string) error {
	return fmt.Errorf("ppo: option %s is %v, want %s", field, value, want)
}
