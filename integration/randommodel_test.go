//go:build patched

package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/ollama/ollama/fs/ggml"
)

// Shape of the small random model: float32 throughout, with output weights of its own, because a tied random model repeats one
// token for ever.
const (
	randomWidth  = 64
	randomHeads  = 2
	randomLayers = 2
	randomInner  = 128
)

// randomModel writes a llama with random weights and the test model's tokenizer. In float32 a batch of another size or another
// place in the cache changes a logit by a rounding error and no more; the quantised test model rounds activations to 8 bits,
// where a rounding error may become a step.
func randomModel(t testing.TB, seed uint64) []byte {
	t.Helper()
	f, err := os.Open(modelFile)
	check(t, err)
	defer f.Close()
	g, err := ggml.Decode(f, -1)
	check(t, err)
	kv := ggml.KV{}
	for k, v := range g.KV() {
		kv[k] = v
	}
	for k, v := range map[string]any{
		"general.file_type":             uint32(0),
		"llama.block_count":             uint32(randomLayers),
		"llama.embedding_length":        uint32(randomWidth),
		"llama.feed_forward_length":     uint32(randomInner),
		"llama.attention.head_count":    uint32(randomHeads),
		"llama.attention.head_count_kv": uint32(randomHeads),
		"llama.rope.dimension_count":    uint32(randomWidth / randomHeads),
	} {
		kv[k] = v
	}
	delete(kv, "general.parameter_count")
	rng := rand.New(rand.NewPCG(seed, 0))
	var tensors []*ggml.Tensor
	// add adds a tensor of inner × outer values with the given deviation around mean.
	add := func(name string, mean, deviation float64, inner, outer uint64) {
		shape := []uint64{inner, outer}
		if outer == 0 {
			shape, outer = shape[:1], 1
		}
		data := make([]byte, 0, 4*inner*outer)
		for range inner * outer {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(mean+deviation*rng.NormFloat64())))
		}
		tensors = append(tensors, &ggml.Tensor{Name: name, Kind: uint32(ggml.TensorTypeF32), Shape: shape, WriterTo: writerTo(data)})
	}
	const d, inner, vocabulary = randomWidth, randomInner, 49152
	small := 1 / math.Sqrt(d)
	add("token_embd.weight", 0, 1, d, vocabulary)
	add("output_norm.weight", 1, 0, d, 0)
	add("output.weight", 0, 3*small, d, vocabulary) // peaked: logits deviate by 3
	for i := range randomLayers {
		block := fmt.Sprintf("blk.%d.", i)
		add(block+"attn_norm.weight", 1, 0, d, 0)
		add(block+"ffn_norm.weight", 1, 0, d, 0)
		for _, name := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
			add(block+name+".weight", 0, small, d, d)
		}
		add(block+"ffn_up.weight", 0, small, d, inner)
		add(block+"ffn_gate.weight", 0, small, d, inner)
		add(block+"ffn_down.weight", 0, small, inner, d)
	}
	path := filepath.Join(t.TempDir(), "random.gguf")
	out, err := os.Create(path)
	check(t, err)
	check(t, ggml.WriteGGUF(out, kv, tensors))
	check(t, out.Close())
	data, err := os.ReadFile(path)
	check(t, err)
	return data
}

type writerTo []byte

func (w writerTo) WriteTo(out io.Writer) (int64, error) { return bytes.NewReader(w).WriteTo(out) }
