//go:build patched

package integration

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ollama/ollama/fs/ggml"
)

// visionModel is the random model as the text half of a Mistral 3, with a vision tower of one random layer: of Ollama's vision
// models the one whose parts are the fewest and whose special tokens fit every vocabulary.
func visionModel(t testing.TB) []byte {
	t.Helper()
	text, _ := randomModel(t, "llama", 2)
	g, err := ggml.Decode(bytes.NewReader(text), -1)
	check(t, err)
	kv := ggml.KV{}
	for k, v := range g.KV() {
		if rest, ok := strings.CutPrefix(k, "llama."); ok {
			k = "mistral3." + rest
		}
		kv[k] = v
	}
	const side, patch, width, heads = 56, 14, 32, 2
	for k, v := range map[string]any{
		"general.architecture":                 "mistral3",
		"mistral3.vision.block_count":          uint32(1),
		"mistral3.vision.embedding_length":     uint32(width),
		"mistral3.vision.feed_forward_length":  uint32(width),
		"mistral3.vision.attention.head_count": uint32(heads),
		"mistral3.vision.attention.key_length": uint32(width / heads),
		"mistral3.vision.image_size":           uint32(side),
		"mistral3.vision.longest_edge":         uint32(side),
		"mistral3.vision.patch_size":           uint32(patch),
		"mistral3.vision.num_channels":         uint32(3),
		"mistral3.spatial_merge_size":          uint32(2),
	} {
		kv[k] = v
	}
	delete(kv, "general.parameter_count")
	var tensors []*ggml.Tensor
	for _, tensor := range g.Tensors().Items() {
		start := g.Tensors().Offset + tensor.Offset
		data := text[start : start+tensor.Size()]
		tensors = append(tensors, &ggml.Tensor{Name: tensor.Name, Kind: tensor.Kind, Shape: tensor.Shape, WriterTo: writerTo(data)})
	}
	rng := rand.New(rand.NewPCG(2, 2))
	add := func(name string, shape ...uint64) {
		n := uint64(1)
		for _, d := range shape {
			n *= d
		}
		data := make([]byte, 0, 4*n)
		for range n {
			x := 1.0 // a norm's
			if len(shape) > 1 {
				x = rng.NormFloat64() / math.Sqrt(float64(n/shape[len(shape)-1]))
			}
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(x)))
		}
		tensors = append(tensors, &ggml.Tensor{Name: name + ".weight", Kind: uint32(ggml.TensorTypeF32), Shape: shape, WriterTo: writerTo(data)})
	}
	add("v.patch_conv", patch, patch, 3, width)
	add("v.encoder_norm", width)
	for _, norm := range []string{"attn_norm", "ffn_norm"} {
		add("v.blk.0."+norm, width)
	}
	for _, linear := range []string{"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"} {
		add("v.blk.0."+linear, width, width)
	}
	add("mm.norm", width)
	add("mm.patch_merger.merging_layer", 4*width, width)
	add("mm.linear_1", width, randomWidth)
	add("mm.linear_2", randomWidth, randomWidth)

	out, err := os.Create(filepath.Join(t.TempDir(), "vision.gguf"))
	check(t, err)
	defer out.Close()
	check(t, ggml.WriteGGUF(out, kv, tensors))
	_, err = out.Seek(0, io.SeekStart)
	check(t, err)
	data, err := io.ReadAll(out)
	check(t, err)
	return data
}
