package policy

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

// Networks are the options that every algorithm has of its networks. They are the
// first of its own, and under the same names.
type Networks struct {
	// HiddenSizes are the sizes of the hidden layers of the actor and, apart from
	// it, of each critic. Empty means none: logistic and linear regression.
	HiddenSizes []int `mapstructure:"hidden_sizes" yaml:"hidden_sizes"`
	// Activation comes after every hidden layer.
	Activation proxy.Activation `mapstructure:"activation" yaml:"activation"`
	// LearningRate is the actor's step size. 0 freezes it.
	LearningRate float64 `mapstructure:"learning_rate" yaml:"learning_rate"`
	// CriticLearningRate is the step size of all else that is trained: critics, and
	// SAC's temperature. 0 freezes them.
	CriticLearningRate float64 `mapstructure:"critic_learning_rate" yaml:"critic_learning_rate"`
	// AdamEps is added to the root of the second moment. The smaller it is, the
	// less a step depends on the scale of the gradient and on the layer's width.
	AdamEps float64 `mapstructure:"adam_eps" yaml:"adam_eps"`
}

// NewActor returns an untrained actor, whose pi(accept) is accept almost everywhere.
func (n Networks) NewActor(inputLength int, accept float64, stream *rand.PCG) *nn.Network {
	return n.network("actor", inputLength, stream, math.Log(accept), math.Log(1-accept))
}

// NewCritic returns an untrained critic, whose outputs are 0 almost everywhere. It
// sees what the actor sees, and they share the memory of their gradients.
func (n Networks) NewCritic(name string, outputs int, actor *nn.Network, stream *rand.PCG) *nn.Network {
	c := n.network(name, actor.Sizes[0], stream, make([]float64, outputs)...)
	c.ShareGradients(actor)
	return c
}

func (n Networks) network(name string, inputs int, stream *rand.PCG, bias ...float64) *nn.Network {
	sizes := slices.Concat([]int{inputs}, n.HiddenSizes, []int{len(bias)})
	net := nn.NewNetwork(name, sizes, n.Activation, rand.New(stream))
	net.Quieten(bias...)
	return net
}
