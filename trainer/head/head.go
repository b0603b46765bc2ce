package head

import (
	"fmt"
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Head scores mean states. Its unit is the deviation of the scores of the replies that it was fitted on, and 0 their mean: a
// reply of 1 is one deviation better than those.
type Head struct {
	// Layers are one linear layer to the score, or two with tanh between them. What standardises the states, and brings the
	// score to its unit, is folded into them.
	Layers []proxy.Linear
	// LogitScale is the log-odds, by the Bradley–Terry model, that people prefer a reply that scores 1 more.
	LogitScale float64
	// Base is the LLM whose states it scores.
	Base proxy.Base
	// Training is what the file remembers of how it came about, as in a proxy.Config.
	Training map[string]any
}

// Length is d, the length of the states that it scores.
func (h *Head) Length() int { return h.Layers[0].In }

// Score is the reward of a reply with that mean state, which has Length values.
func (h *Head) Score(state []float32) float64 {
	x := make([]float64, len(state))
	for i, v := range state {
		x[i] = float64(v)
	}
	for i, l := range h.Layers {
		y := make([]float64, l.Out)
		for o := range y {
			y[o] = float64(l.Bias[o])
			for k, w := range l.Weight[o*l.In : (o+1)*l.In] {
				y[o] += float64(w) * x[k]
			}
			if i < len(h.Layers)-1 {
				y[o] = math.Tanh(y[o])
			}
		}
		x = y
	}
	return x[0]
}

// Preference is the probability, by the Bradley–Terry model, that people prefer a reply of score a to one of score b.
func (h *Head) Preference(a, b float64) float64 { return sigmoid(h.LogitScale * (a - b)) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// CheckBase compares the LLM that the head was trained on with another. A state of another length or of another architecture is
// an error; another file of the same shape, such as another quantisation, is a warning.
func (h *Head) CheckBase(base proxy.Base) (warning string, err error) {
	switch {
	case base.EmbeddingLength != h.Length():
		return "", fmt.Errorf("the reward head scores states of %d values, the model's have %d: train one on its states with proxy-trainer reward", h.Length(), base.EmbeddingLength)
	case h.Base.Architecture != "" && base.Architecture != "" && h.Base.Architecture != base.Architecture:
		return "", fmt.Errorf("the reward head was trained on a %s model's states, the model is a %s: train one on its states with proxy-trainer reward", h.Base.Architecture, base.Architecture)
	case h.Base.Digest != "" && base.Digest != "" && h.Base.Digest != base.Digest:
		return fmt.Sprintf("the reward head was trained on the states of another model file, %s; the model is %s", h.Base.Digest, base.Digest), nil
	}
	return "", nil
}
