package head

import (
	"fmt"
	"math"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// FileVersion is the version of the file that this package writes, and the newest that it reads.
const FileVersion = 1

// The keys of the file. Its tensors are reward.0.weight (1 × d, or hidden × d), reward.0.bias and, with hidden units,
// reward.1.weight (1 × hidden) and reward.1.bias.
const (
	architecture    = "proxy_rlhf_reward"
	keyArchitecture = "general.architecture"
	keyType         = "general.type"
	keyVersion      = architecture + ".version"
	keyLength       = architecture + ".embedding_length"
	keyHidden       = architecture + ".feed_forward_length" // 0: linear
	keyLogitScale   = architecture + ".logit_scale"

	keyBaseArchitecture = architecture + ".base.architecture"
	keyBaseLength       = architecture + ".base.embedding_length"
	keyBaseVocabulary   = architecture + ".base.vocab_size"
	keyBaseDigest       = architecture + ".base.digest"

	trainingPrefix = architecture + ".training."
)

// Bounds of a head, far above any of use, so that a hostile file is refused by its numbers.
const maxLength = 1 << 20

// WriteFile writes the head to path, whole or not at all.
func (h *Head) WriteFile(path string) error {
	if err := h.validate(); err != nil {
		return fmt.Errorf("reward head: write %s: %w", path, err)
	}
	g := &proxy.GGUF{
		Keys: map[string]any{
			keyArchitecture: architecture, keyType: "reward", keyVersion: FileVersion,
			keyLength: h.Length(), keyHidden: h.hidden(), keyLogitScale: h.LogitScale,
			keyBaseArchitecture: h.Base.Architecture, keyBaseLength: h.Base.EmbeddingLength,
			keyBaseVocabulary: h.Base.VocabSize, keyBaseDigest: h.Base.Digest,
		},
		Tensors: map[string]proxy.Tensor{},
	}
	for name, v := range h.Training {
		g.Keys[trainingPrefix+name] = v
	}
	for i, l := range h.Layers {
		g.Tensors[weightName(i)] = proxy.Tensor{Shape: []int{l.Out, l.In}, Values: l.Weight}
		g.Tensors[biasName(i)] = proxy.Tensor{Shape: []int{l.Out}, Values: l.Bias}
	}
	if err := g.WriteFile(path); err != nil {
		return fmt.Errorf("reward head: %w", err)
	}
	return nil
}

func weightName(i int) string { return fmt.Sprintf("reward.%d.weight", i) }
func biasName(i int) string   { return fmt.Sprintf("reward.%d.bias", i) }

func (h *Head) hidden() int {
	if len(h.Layers) == 1 {
		return 0
	}
	return h.Layers[0].Out
}

// validate names what of the head no file can hold.
func (h *Head) validate() error {
	if n := len(h.Layers); n != 1 && n != 2 {
		return fmt.Errorf("it has %d layers, want 1 or 2", n)
	}
	in := h.Length()
	for i, l := range h.Layers {
		if l.In != in || len(l.Weight) != l.In*l.Out || len(l.Bias) != l.Out {
			return fmt.Errorf("layer %d takes %d values and has %d weights and %d biases, want %d values and %d outputs", i, l.In, len(l.Weight), len(l.Bias), in, l.Out)
		}
		for _, x := range append(l.Weight[:len(l.Weight):len(l.Weight)], l.Bias...) {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return fmt.Errorf("layer %d has the weight %v", i, x)
			}
		}
		in = l.Out
	}
	if in != 1 || h.Length() < 1 || h.Length() > maxLength || h.hidden() > maxHidden {
		return fmt.Errorf("it makes %d numbers of %d, want 1 of 1 to %d, by %d hidden units at most", in, h.Length(), maxLength, maxHidden)
	}
	if !(h.LogitScale > 0) || math.IsInf(h.LogitScale, 0) {
		return &proxy.FieldError{Field: keyLogitScale, Problem: fmt.Sprintf("is %v, want a number above 0", h.LogitScale)}
	}
	return nil
}

// Is reports whether the file at path says that it is a head's. One that cannot be read does not.
func Is(path string) bool {
	g, err := proxy.OpenGGUF(path)
	return err == nil && g.Keys[keyArchitecture] == architecture
}

// Open reads the head's file at path. The error of a file that is none names the key or tensor, as a [proxy.FieldError].
func Open(path string) (*Head, error) {
	g, err := proxy.OpenGGUF(path)
	if err != nil {
		return nil, fmt.Errorf("reward head: %w", err)
	}
	h, err := fromGGUF(g)
	if err != nil {
		return nil, fmt.Errorf("reward head: %s: %w", path, err)
	}
	return h, nil
}

func fromGGUF(g *proxy.GGUF) (*Head, error) {
	r := reader{file: g}
	if have := r.text(keyArchitecture); r.err == nil && have != architecture {
		return nil, fieldError(keyArchitecture, "is %q, want %q: proxy-trainer reward makes such files", have, architecture)
	}
	version, length, hidden := r.whole(keyVersion), r.whole(keyLength), r.whole(keyHidden)
	switch {
	case r.err != nil:
		return nil, r.err
	case version < 1 || version > FileVersion:
		return nil, fieldError(keyVersion, "is %d, want 1 to %d: a newer proxy-trainer wrote it", version, FileVersion)
	case length < 1 || length > maxLength:
		return nil, fieldError(keyLength, "is %d, want 1 to %d", length, maxLength)
	case hidden < 0 || hidden > maxHidden:
		return nil, fieldError(keyHidden, "is %d, want 0 to %d", hidden, maxHidden)
	}
	h := &Head{LogitScale: r.number(keyLogitScale)}
	in := length
	for _, out := range []int{hidden, 1} {
		if out > 0 {
			h.Layers = append(h.Layers, r.layer(len(h.Layers), in, out))
			in = out
		}
	}
	h.Base = proxy.Base{
		Architecture: r.text(keyBaseArchitecture), EmbeddingLength: r.whole(keyBaseLength),
		VocabSize: r.whole(keyBaseVocabulary), Digest: r.text(keyBaseDigest),
	}
	for key, v := range g.Keys {
		if name, ok := strings.CutPrefix(key, trainingPrefix); ok {
			if h.Training == nil {
				h.Training = map[string]any{}
			}
			h.Training[name] = v
		}
	}
	if r.err == nil && len(g.Tensors) != 2*len(h.Layers) {
		return nil, fmt.Errorf("it has %d tensors, want %d as %s says", len(g.Tensors), 2*len(h.Layers), keyHidden)
	}
	if r.err != nil {
		return nil, r.err
	}
	return h, h.validate()
}

func fieldError(field, format string, args ...any) error {
	return &proxy.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// reader reads by key and keeps the first error.
type reader struct {
	file *proxy.GGUF
	err  error
}

func read[T any](r *reader, key, want string) (v T) {
	v, ok := r.file.Keys[key].(T)
	if !ok && r.err == nil {
		r.err = fieldError(key, "is %v, want %s: this is no reward head's file, or a damaged one", r.file.Keys[key], want)
	}
	return v
}

func (r *reader) text(key string) string { return read[string](r, key, "text") }

func (r *reader) whole(key string) int {
	n := read[int64](r, key, "a whole number")
	if n < 0 || n > math.MaxInt32 {
		n = -1 // beyond every range
	}
	return int(n)
}

func (r *reader) number(key string) float64 { return read[float64](r, key, "a number") }

// layer reads a layer of that shape.
func (r *reader) layer(i, in, out int) proxy.Linear {
	l := proxy.Linear{In: in, Out: out}
	l.Weight = r.tensor(weightName(i), out, in)
	l.Bias = r.tensor(biasName(i), out)
	return l
}

func (r *reader) tensor(name string, shape ...int) []float32 {
	t, ok := r.file.Tensors[name]
	same := len(t.Shape) == len(shape)
	for i := range shape {
		same = same && t.Shape[i] == shape[i]
	}
	if r.err == nil && (!ok || !same) {
		r.err = fieldError(name, "is %v, want a tensor of %v", t.Shape, shape)
	}
	return t.Values
}
