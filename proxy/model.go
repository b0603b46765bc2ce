package proxy

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// NormEpsilon is what [Norm] adds to the variance: PyTorch's default. The file
// has no key for it.
const NormEpsilon = 1e-5

// Linear is y = W·x + b.
type Linear struct {
	// Weight is out × in, row-major, as in PyTorch's nn.Linear: the weight from
	// input i to output o is Weight[o*In+i].
	Weight []float32
	// Bias has Out elements.
	Bias []float32
	// In and Out are the lengths of x and y.
	In, Out int
}

// Norm is a LayerNorm over all features, with PyTorch's meaning:
//
//	y = (x − mean(x)) / sqrt(var(x) + NormEpsilon) · Weight + Bias
//
// where var divides by the number of features.
type Norm struct {
	Weight []float32 // one for each feature
	Bias   []float32 // one for each feature
}

// NewNorm returns the LayerNorm over n features that an untrained network starts
// with: weight 1, bias 0.
func NewNorm(n int) *Norm {
	norm := &Norm{Weight: make([]float32, n), Bias: make([]float32, n)}
	for i := range norm.Weight {
		norm.Weight[i] = 1
	}
	return norm
}

// Model is a proxy: an optional LayerNorm, linear layers with an activation
// between any two of them, and two outputs, the logits of accept and reject.
//
// The zero value is not a valid model. Models made by [New], [Open] and [Decode]
// are valid; after building or changing one by hand, call [Model.Validate]
// before anything else.
type Model struct {
	Config
	// Norm, if not nil, is applied to the features.
	Norm *Norm
	// Layers has one more element than Config.FeedForwardLength.
	Layers []Linear
}

// New returns an untrained model without a Norm (see [NewNorm]). Weights and
// biases are drawn from rng as PyTorch's nn.Linear draws them: uniform between
// ±1/sqrt(In). It returns an error if c is not valid.
func New(c Config, rng *rand.Rand) (*Model, error) {
	if rng == nil {
		return nil, errors.New("proxy: new model: the random source is nil: pass one, seeded")
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("proxy: new model: %w", err)
	}
	m := &Model{Config: c}
	for _, size := range c.layerSizes() {
		l := Linear{
			Weight: make([]float32, size.in*size.out),
			Bias:   make([]float32, size.out),
			In:     size.in,
			Out:    size.out,
		}
		bound := 1 / math.Sqrt(float64(size.in))
		for _, values := range [][]float32{l.Weight, l.Bias} {
			for i := range values {
				values[i] = float32((2*rng.Float64() - 1) * bound)
			}
		}
		m.Layers = append(m.Layers, l)
	}
	return m, nil
}

// Validate returns an error that names the field or tensor, as the GGUF file
// calls it, if the configuration is invalid, a shape does not follow from it, or
// a weight is NaN or infinite.
func (m *Model) Validate() error {
	if err := m.Config.Validate(); err != nil {
		return fmt.Errorf("proxy: invalid model: %w", err)
	}
	if err := m.validateLayers(); err != nil {
		return fmt.Errorf("proxy: invalid model: %w", err)
	}
	for _, t := range m.tensors() {
		want := 1
		for _, n := range t.shape {
			want *= n
		}
		if len(t.values) != want {
			return fmt.Errorf("proxy: invalid model: %w", fieldErrorf(t.name, "has %d values, want %s = %d", len(t.values), shapeString(t.shape), want))
		}
		for i, v := range t.values {
			if !finite(v) {
				return fmt.Errorf("proxy: invalid model: %w", fieldErrorf(t.name, "is %v at index %d, want finite numbers", v, i))
			}
		}
	}
	return nil
}

func (m *Model) validateLayers() error {
	sizes := m.Config.layerSizes()
	if len(m.Layers) != len(sizes) {
		return fieldErrorf(keyFeedForwardLength, "has %d hidden layers, which makes %d linear layers, but the model has %d", len(m.FeedForwardLength), len(sizes), len(m.Layers))
	}
	for i, l := range m.Layers {
		if l.In != sizes[i].in || l.Out != sizes[i].out {
			return fieldErrorf(weightName(i), "is %d outputs × %d inputs, want %d × %d", l.Out, l.In, sizes[i].out, sizes[i].in)
		}
	}
	return nil
}

// finite avoids the conversion to float64 that math.IsNaN would take: it runs
// over every weight of every file that is loaded.
func finite(v float32) bool { return v-v == 0 }

// Parameters counts the weights and biases.
func (m *Model) Parameters() int64 {
	total := int64(0)
	for _, t := range m.tensors() {
		n := int64(1)
		for _, side := range t.shape {
			n *= int64(side)
		}
		total += n
	}
	return total
}

// Bytes returns the memory that the parameters take, in bytes. Evaluators and
// caches come on top.
func (m *Model) Bytes() int64 { return 4 * m.Parameters() }

// CheckBase says whether the proxy fits the LLM b. Another architecture, width
// or vocabulary is an error that names both; b must know its EmbeddingLength,
// anything else that either side does not know is not compared. A warning is
// returned where the proxy would run but may judge badly: it was trained on
// another file of the same shape, or does not say on which architecture.
func (c Config) CheckBase(b Base) (warning string, err error) {
	own := c.Base
	mismatch := func(what string, trained, loaded any) error {
		return fmt.Errorf("proxy: the proxy was trained on an LLM with %s %v, this one has %v: use the LLM that it was trained on, or train a proxy for this one", what, trained, loaded)
	}
	if own.Architecture != "" && b.Architecture != "" && own.Architecture != b.Architecture {
		return "", mismatch("architecture", own.Architecture, b.Architecture)
	}
	if c.EmbeddingLength != b.EmbeddingLength {
		return "", mismatch("embedding length", c.EmbeddingLength, b.EmbeddingLength)
	}
	if own.VocabSize != 0 && b.VocabSize != 0 && own.VocabSize != b.VocabSize {
		return "", mismatch("vocabulary size", own.VocabSize, b.VocabSize)
	}
	if own.Architecture == "" {
		return "the proxy's file does not say which LLM it was trained on (" + keyBaseArchitecture + "): its judgement may be meaningless on this one", nil
	}
	if own.Digest != "" && b.Digest != "" && canonicalDigest(own.Digest) != canonicalDigest(b.Digest) {
		return fmt.Sprintf("the proxy was trained on %s, this LLM is %s of the same shape: its judgement may be worse than measured", own.Digest, b.Digest), nil
	}
	return "", nil
}

// canonicalDigest makes the two ways equal in which Ollama writes a digest: with
// a colon in manifests, with a dash in file names.
func canonicalDigest(s string) string {
	return strings.ToLower(strings.Replace(s, "sha256-", "sha256:", 1))
}

// tensor is a view of one parameter of a model, by its name in the file.
type tensor struct {
	name   string
	shape  []int // as in PyTorch: outermost first
	values []float32
}

// tensors lists the model's parameters in the order of computation.
func (m *Model) tensors() []tensor {
	var ts []tensor
	if m.Norm != nil {
		n := m.InputLength()
		ts = append(ts, tensor{normWeightName, []int{n}, m.Norm.Weight}, tensor{normBiasName, []int{n}, m.Norm.Bias})
	}
	for i, l := range m.Layers {
		ts = append(ts, tensor{weightName(i), []int{l.Out, l.In}, l.Weight}, tensor{biasName(i), []int{l.Out}, l.Bias})
	}
	return ts
}

const (
	normWeightName = "proxy.norm.weight"
	normBiasName   = "proxy.norm.bias"
)

func weightName(layer int) string { return fmt.Sprintf("proxy.%d.weight", layer) }
func biasName(layer int) string   { return fmt.Sprintf("proxy.%d.bias", layer) }

// shapeString writes a shape as "16 × 8".
func shapeString(shape []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", " × ")
}
