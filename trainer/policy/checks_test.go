package policy

import (
	"math"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Of several wrong options the first is named, as users know it.
func TestChecks(t *testing.T) {
	whole := Networks{HiddenSizes: []int{3}, Activation: proxy.ReLU, AdamEps: 1e-30}
	for want, check := range map[string]func(*Checks){
		"": func(c *Checks) {
			c.Networks(whole)
			c.AtLeast(2, "n", 2)
			c.Share("low", 0)
			c.Share("high", 1)
			c.NotNegative("zero", 0)
			c.Chance("half", .5)
		},
		"ppo: option hidden_sizes[1] is 0, want 1 or more": func(c *Checks) {
			c.Networks(Networks{HiddenSizes: []int{3, 0}, Activation: "gelu"})
			c.AtLeast(2, "n", 1)
		},
		`ppo: option activation is "gelu", want relu, tanh or silu`:    func(c *Checks) { c.Networks(Networks{Activation: "gelu"}) },
		"ppo: option adam_eps is 0, want 1e-30 or more":                func(c *Checks) { c.Networks(Networks{Activation: proxy.Tanh}) },
		"ppo: option max_grad_norm is +Inf, want 0 or more":            func(c *Checks) { c.NotNegative("max_grad_norm", math.Inf(1)) },
		"ppo: option gamma is NaN, want 0 to 1":                        func(c *Checks) { c.Share("gamma", math.NaN()) },
		"ppo: option clip_coef is 0, want between 0 and 1":             func(c *Checks) { c.Chance("clip_coef", 0) },
		"ppo: option initial_accept is 1, want between 0 and 1":        func(c *Checks) { c.Chance("initial_accept", 1) },
		"ppo: option group_size is 1, want 0 (a critic), or 2 or more": func(c *Checks) { c.Want(false, "group_size", 1, "0 (a critic), or 2 or more") },
	} {
		c := Checks{Algorithm: "ppo"}
		check(&c)
		got := ""
		if c.Err != nil {
			got = c.Err.Error()
		}
		if got != want {
			t.Errorf("error %q, want %q", got, want)
		}
	}
}
