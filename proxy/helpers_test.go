package proxy

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ollama/ollama/fs/ggml"
	"github.com/x448/float16"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// testConfig has every field set, none to its default.
func testConfig() Config {
	return Config{
		Features:          Prefix,
		EmbeddingLength:   6,
		FeedForwardLength: []int{10, 7},
		Activation:        Tanh,
		Pool:              sampler.Options{Temperature: 0.7, TopK: 40, TopP: 0.95, MinP: 0.03, PT: 0.05, MaxRejections: 4},
		Cutoff:            0.35,
		Base:              Base{Architecture: "llama", EmbeddingLength: 6, VocabSize: 100, Digest: "sha256:abc"},
		Training: map[string]any{
			"algorithm":    "ppo",
			"steps":        int64(1 << 40),
			"dense":        true,
			"score.reward": 0.71,
			"score.base":   -1e-3,
		},
	}
}

func newModel(t testing.TB, c Config, seed uint64) *Model {
	t.Helper()
	m, err := New(c, rand.New(rand.NewPCG(seed, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// withNorm gives m a norm of random weights.
func withNorm(m *Model, rng *rand.Rand) *Model {
	m.Norm = NewNorm(m.InputLength())
	for i := range m.Norm.Weight {
		m.Norm.Weight[i] += 0.3 * float32(rng.NormFloat64())
		m.Norm.Bias[i] = 0.3 * float32(rng.NormFloat64())
	}
	return m
}

// fileOf returns the bytes that WriteFile writes.
func fileOf(t testing.TB, m *Model) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "proxy.gguf")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeBytes(b []byte) (*Model, error) {
	return Decode(bytes.NewReader(b), int64(len(b)))
}

// rawFile is a proxy file before it is written, to be damaged on purpose.
type rawFile struct {
	kv      ggml.KV
	tensors map[string]*ggml.Tensor
}

func rawFileOf(t testing.TB, m *Model) *rawFile {
	t.Helper()
	kv, err := m.Config.metadata()
	if err != nil {
		t.Fatal(err)
	}
	f := &rawFile{kv: kv, tensors: make(map[string]*ggml.Tensor)}
	for _, s := range m.tensors() {
		f.setF32(s.name, s.values, gguf(s.shape)...)
	}
	return f
}

// gguf turns a shape into GGUF's order.
func gguf(shape []int) (sides []uint64) {
	for i := len(shape) - 1; i >= 0; i-- {
		sides = append(sides, uint64(shape[i]))
	}
	return sides
}

func (f *rawFile) setF32(name string, values []float32, sides ...uint64) {
	f.tensors[name] = &ggml.Tensor{Name: name, Kind: uint32(ggml.TensorTypeF32), Shape: sides, WriterTo: floatWriter(values)}
}

// setF16 rounds the values to float16, in place, and stores them so.
func (f *rawFile) setF16(name string, values []float32, sides ...uint64) {
	var b bytes.Buffer
	for i, v := range values {
		h := float16.Fromfloat32(v)
		values[i] = h.Float32()
		b.Write([]byte{byte(h.Bits()), byte(h.Bits() >> 8)})
	}
	f.tensors[name] = &ggml.Tensor{Name: name, Kind: uint32(ggml.TensorTypeF16), Shape: sides, WriterTo: &b}
}

func (f *rawFile) bytes(t testing.TB) []byte {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "raw.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var ts []*ggml.Tensor
	for _, tensor := range f.tensors {
		ts = append(ts, tensor)
	}
	if err := ggml.WriteGGUF(out, f.kv, ts); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vector returns n normal numbers.
func vector(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// float64s joins vectors into the features that Model.Accept takes.
func float64s(vs ...[]float32) []float64 {
	var out []float64
	for _, v := range vs {
		for _, x := range v {
			out = append(out, float64(x))
		}
	}
	return out
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }
