package proxy

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// Features says which of the LLM's vectors the proxy looks at.
type Features string

const (
	// Lookahead is the paper's (section 3): the LLM's final hidden state at the
	// candidate, that is, after the candidate was fed. d values.
	Lookahead Features = "lookahead"
	// Prefix is the final hidden state before the candidate, then the
	// candidate's token embedding. 2d values, no extra forward pass.
	Prefix Features = "prefix"
)

// Activation is the function between two linear layers.
type Activation string

const (
	ReLU Activation = "relu" // max(0, x)
	Tanh Activation = "tanh" // tanh(x)
	SiLU Activation = "silu" // x · sigmoid(x)
)

// DefaultCutoff is the pi(accept) from which on a served proxy accepts, where
// neither its file nor the request says otherwise.
const DefaultCutoff = 0.5

// Limits of what is accepted as a proxy. They are far above any that was
// published (the paper's has 1.2 to 8.4 million parameters) and keep the memory
// that a hostile file can ask for in proportion to the file.
const (
	maxHiddenLayers = 64
	maxWidth        = 1 << 20
	maxParameters   = 1 << 30
)

// Base describes the LLM that a proxy was trained on, or the one that it is to
// be attached to. A zero field means unknown.
type Base struct {
	Architecture    string // general.architecture of the LLM's GGUF file, such as "llama"
	EmbeddingLength int    // d, the length of a hidden state
	VocabSize       int    // tokens
	Digest          string // digest of the LLM's file as Ollama names it: "sha256:…"
}

// Config is all of a proxy that is not a weight. In a file it is the GGUF
// metadata under proxy_rlhf.
//
// Ollama's GGUF writer knows no 64-bit floats. Fractions are therefore stored
// with float32's precision and read back as the shortest decimal that names the
// stored number: 0.01 stays 0.01, a number with more than seven significant
// digits is rounded.
type Config struct {
	// Features is what the first layer takes.
	Features Features
	// EmbeddingLength is d, the length of the LLM's hidden state.
	EmbeddingLength int
	// FeedForwardLength lists the sizes of the hidden layers. Empty means none:
	// the proxy is then a logistic regression.
	FeedForwardLength []int
	// Activation comes after every layer but the last.
	Activation Activation
	// Pool is the candidate pool that the proxy was trained in, p_t and the bound
	// on rejections included. It applies where the request and the Modelfile say
	// nothing.
	Pool sampler.Options
	// Cutoff is the pi(accept), in [0, 1], from which on a candidate is accepted.
	// 0 accepts everything. It has no unset value: start from [DefaultCutoff].
	Cutoff float64
	// Base is the LLM that the proxy was trained on.
	Base Base
	// Training is what the trainer wants to remember: algorithm, steps, reward,
	// scores. The keys come after "proxy_rlhf.training."; values are strings,
	// bools, integers and finite floats. Integers of any kind come back from a
	// file as int64, floats as float64.
	Training map[string]any
}

// InputLength returns the number of features that the first layer takes: d with
// [Lookahead], 2d with [Prefix].
func (c Config) InputLength() int {
	if c.Features == Prefix {
		return 2 * c.EmbeddingLength
	}
	return c.EmbeddingLength
}

// Validate returns an error that names the field, as the GGUF file calls it, if
// no proxy can have this configuration.
func (c Config) Validate() error {
	if c.Features != Lookahead && c.Features != Prefix {
		return fieldErrorf(keyFeatures, "is %q, want %q or %q", c.Features, Lookahead, Prefix)
	}
	if err := c.validateShape(); err != nil {
		return err
	}
	if !slices.Contains([]Activation{ReLU, Tanh, SiLU}, c.Activation) {
		return fieldErrorf(keyActivation, "is %q, want %q, %q or %q", c.Activation, ReLU, Tanh, SiLU)
	}
	if err := c.validatePool(); err != nil {
		return err
	}
	if err := c.validateBase(); err != nil {
		return err
	}
	return c.validateTraining()
}

// validateShape checks the sizes, and that their product can be allocated.
func (c Config) validateShape() error {
	if c.EmbeddingLength < 1 || c.EmbeddingLength > maxWidth {
		return fieldErrorf(keyEmbeddingLength, "is %d, want 1 to %d", c.EmbeddingLength, maxWidth)
	}
	if n := len(c.FeedForwardLength); n > maxHiddenLayers {
		return fieldErrorf(keyFeedForwardLength, "has %d layers, want %d at most", n, maxHiddenLayers)
	}
	for i, n := range c.FeedForwardLength {
		if n < 1 || n > maxWidth {
			return fieldErrorf(keyFeedForwardLength, "element %d is %d, want 1 to %d", i, n, maxWidth)
		}
	}
	total := int64(0)
	for _, l := range c.layerSizes() {
		// Each product is below 2^42 and there are few: no overflow.
		total += int64(l.in)*int64(l.out) + int64(l.out)
	}
	if total > maxParameters {
		return fieldErrorf(keyFeedForwardLength, "makes %d parameters, want %d at most", total, maxParameters)
	}
	return nil
}

// validatePool leaves the ranges to the sampler, which names its options, and
// finds the key by trying each value among defaults.
func (c Config) validatePool() error {
	for i, f := range c.poolFloats() {
		if !fitsFloat32(*f.value) {
			return fieldErrorf(f.key, "is %v, which is not a finite float32", *f.value)
		}
		alone := Config{Pool: sampler.DefaultOptions()}
		*alone.poolFloats()[i].value = *f.value
		if err := alone.Pool.Validate(); err != nil {
			return fieldErrorf(f.key, "is %v: %v", *f.value, err)
		}
	}
	for i, f := range c.poolInts() {
		if *f.value < math.MinInt32 || *f.value > math.MaxInt32 {
			return fieldErrorf(f.key, "is %d, which does not fit 32 bits", *f.value)
		}
		alone := Config{Pool: sampler.DefaultOptions()}
		*alone.poolInts()[i].value = *f.value
		if err := alone.Pool.Validate(); err != nil {
			return fieldErrorf(f.key, "is %d: %v", *f.value, err)
		}
	}
	if c.Cutoff < 0 || c.Cutoff > 1 {
		return fieldErrorf(keyCutoff, "is %v, want a probability between 0 and 1", c.Cutoff)
	}
	if err := c.Pool.Validate(); err != nil {
		return fmt.Errorf("proxy_rlhf.*: the candidate pool: %w", err)
	}
	return nil
}

func (c Config) validateBase() error {
	b := c.Base
	if b.EmbeddingLength != 0 && b.EmbeddingLength != c.EmbeddingLength {
		return fieldErrorf(keyBaseEmbeddingLength, "is %d, but %s is %d", b.EmbeddingLength, keyEmbeddingLength, c.EmbeddingLength)
	}
	if b.VocabSize < 0 || b.VocabSize > math.MaxInt32 {
		return fieldErrorf(keyBaseVocabSize, "is %d, want 0 (unknown) to %d", b.VocabSize, math.MaxInt32)
	}
	for key, s := range map[string]string{keyBaseArchitecture: b.Architecture, keyBaseDigest: b.Digest} {
		if len(s) > maxStringLength {
			return fieldErrorf(key, "is %d bytes long, want %d at most", len(s), maxStringLength)
		}
	}
	return nil
}

func (c Config) validateTraining() error {
	for name, v := range c.Training {
		key := trainingPrefix + name
		if name == "" || len(key) > maxKeyLength || strings.ContainsFunc(name, isControl) {
			return fieldErrorf(key, "is no name: want 1 to %d bytes without control characters", maxKeyLength-len(trainingPrefix))
		}
		if s, ok := v.(string); ok && len(s) > maxStringLength {
			return fieldErrorf(key, "is %d bytes long, want %d at most", len(s), maxStringLength)
		}
		if _, err := trainingValue(v); err != nil {
			return fieldErrorf(key, "%v", err)
		}
	}
	if n := len(c.Training); n > maxKeys/2 {
		return fieldErrorf(trainingPrefix+"*", "has %d keys, want %d at most", n, maxKeys/2)
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func fitsFloat32(v float64) bool {
	f := float64(float32(v))
	return !math.IsNaN(f) && !math.IsInf(f, 0)
}

// layerSize is the shape of one linear layer.
type layerSize struct{ in, out int }

// layerSizes lists the linear layers from the features to the two logits.
func (c Config) layerSizes() []layerSize {
	sizes := make([]layerSize, 0, len(c.FeedForwardLength)+1)
	in := c.InputLength()
	for _, out := range c.FeedForwardLength {
		sizes = append(sizes, layerSize{in, out})
		in = out
	}
	return append(sizes, layerSize{in, 2})
}

// FieldError says which key or tensor of a proxy is wrong, by the name that it
// has in the GGUF file, and in what way.
type FieldError struct {
	Field   string // such as "proxy_rlhf.features" or "proxy.0.weight"
	Problem string // reads on after the field: "is …, want …"
}

func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
