package policy

import (
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Checks keep the error of the first option that no agent can have. It names the
// option as configurations do.
type Checks struct {
	Algorithm string
	Err       error
}

// Want is a condition in words.
func (c *Checks) Want(ok bool, option string, value any, want string) {
	if c.Err == nil && !ok {
		c.Err = fmt.Errorf("%s: option %s is %v, want %s", c.Algorithm, option, value, want)
	}
}

// Number is a condition on a finite number. It must be false of NaN.
func (c *Checks) Number(ok bool, option string, value float64, want string) {
	c.Want(ok && !math.IsInf(value, 0), option, value, want)
}

// AtLeast is for whole numbers.
func (c *Checks) AtLeast(least int, option string, value int) {
	c.Want(value >= least, option, value, fmt.Sprintf("%d or more", least))
}

// NotNegative, Share and Chance are for 0 and above, 0 to 1, and between them.
func (c *Checks) NotNegative(option string, v float64) { c.Number(v >= 0, option, v, "0 or more") }
func (c *Checks) Share(option string, v float64)       { c.Number(v >= 0 && v <= 1, option, v, "0 to 1") }
func (c *Checks) Chance(option string, v float64) {
	c.Number(v > 0 && v < 1, option, v, "between 0 and 1")
}

// Networks checks all of n.
func (c *Checks) Networks(n Networks) {
	for i, size := range n.HiddenSizes {
		c.AtLeast(1, fmt.Sprintf("hidden_sizes[%d]", i), size)
	}
	switch n.Activation {
	case proxy.ReLU, proxy.Tanh, proxy.SiLU:
	default:
		c.Want(false, "activation", fmt.Sprintf("%q", n.Activation), "relu, tanh or silu")
	}
	c.NotNegative("learning_rate", n.LearningRate)
	c.NotNegative("critic_learning_rate", n.CriticLearningRate)
	c.Number(n.AdamEps >= 1e-30, "adam_eps", n.AdamEps, "1e-30 or more")
}
