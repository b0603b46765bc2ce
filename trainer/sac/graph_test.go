package sac

import (
	"fmt"
	"math"
	"testing"

	G "gorgonia.org/gorgonia"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
)

func TestCriticGradient(t *testing.T) {
	for _, n := range nntest.Networks {
		t.Run(fmt.Sprint(n.Activation, n.Hidden), func(t *testing.T) {
			var c criticLoss
			l := nntest.New(t, append(append([]int{5}, n.Hidden...), 2), n.Activation, 4, func(out *G.Node) *G.Node {
				var err error
				if c, err = newCriticLoss(out); err != nil {
					t.Fatal(err)
				}
				return c.loss
			})
			nntest.Let(t, c.action, []float64{1, 0, 0, 1, 0, 1, 1, 0})
			nntest.Let(t, c.target, []float64{1, -2, 3, .5})
			nntest.Let(t, c.weight, []float64{.5, .25, .25, .1})
			l.CheckByCentralDifferences()
		})
	}
}

func TestActorGradient(t *testing.T) {
	for _, n := range nntest.Networks {
		t.Run(fmt.Sprint(n.Activation, n.Hidden), func(t *testing.T) {
			var a actorLoss
			l := nntest.New(t, append(append([]int{5}, n.Hidden...), 2), n.Activation, 3, func(out *G.Node) *G.Node {
				var err error
				if a, err = newActorLoss(out); err != nil {
					t.Fatal(err)
				}
				return a.loss
			})
			nntest.Let(t, a.alpha, []float64{.3, .3, .3, .3, .3, .3})
			nntest.Let(t, a.minQ, []float64{1, -1, .2, .4, -3, 2})
			nntest.Let(t, a.weight, []float64{.5, .5, .3, .3, .2, .2})
			l.CheckByCentralDifferences()
		})
	}
}

// The soft value is the largest there is, α log Σ exp(Q/α), at the policy
// softmax(Q/α), and with one action certain that action's Q.
func TestSoftValue(t *testing.T) {
	const alpha = .3
	q := []float32{.7, .1}
	want := alpha * math.Log(math.Exp(.7/alpha)+math.Exp(.1/alpha))
	if got := softValue([]float32{.7 / alpha, .1 / alpha}, q, q, alpha); math.Abs(got-want) > 1e-6 {
		t.Errorf("at the best policy %v, want %v", got, want)
	}
	if got := softValue([]float32{100, -100}, []float32{.7, 9}, []float32{.4, 9}, alpha); math.Abs(got-.4) > 1e-6 {
		t.Errorf("with one action %v, want the smaller of its values, 0.4", got)
	}
	if got := softValue([]float32{0, 0}, []float32{1, 0}, []float32{1, 0}, 0); got != .5 {
		t.Errorf("without entropy %v, want the mean 0.5", got)
	}
}
