package sac

import (
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

// temperature is α, trained by its logarithm, which stays positive whatever the step.
type temperature struct{ log *nn.Network }

func newTemperature(alpha float64) temperature {
	return temperature{nn.NewScalar("temperature", float32(math.Log(alpha)))}
}

func (t temperature) alpha() float64 { return math.Exp(float64(t.log.Params[0].Values[0])) }

// loss is mean Σ_a π(a|s) (−α (log π(a|s) + H̄)) = α (H − H̄).
func (t temperature) loss(entropy, target float64) float64 { return t.alpha() * (entropy - target) }

// step moves log α against the derivative of the loss by it, which is the loss again.
func (t temperature) step(entropy, target, rate, eps float64) error {
	t.log.Params[0].Grads[0] = float32(t.loss(entropy, target))
	if _, err := t.log.Step(rate, eps, 0); err != nil {
		return err
	}
	if a := t.alpha(); a == 0 || math.IsInf(a, 0) {
		return fmt.Errorf("temperature: alpha is %v: lower critic_learning_rate, or switch autotune off", a)
	}
	return nil
}
