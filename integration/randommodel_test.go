//go:build patched

package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ollama/ollama/fs/ggml"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Shape of the small random models.
const (
	randomWidth   = 64 // d
	randomHeads   = 4
	randomKVHeads = 2
	randomHeadDim = 16
	randomInner   = 128
	randomExperts = 4
	randomWindow  = 16 // of gemma3's sliding attention, in tokens

	randomVocabulary = 113 // the characters, and the test model's special tokens
)

// The architectures that the tests run random models of, beside the default model's llama.
var (
	causalArchitectures = []string{"llama", "qwen2", "qwen3", "qwen3moe", "gemma3"}
	hybridArchitecture  = "lfm2"
)

// randomModel writes a model of that architecture with random weights and returns the file and what a proxy file has to say
// of it. Three things are other than in a real model, to make tests of it exact:
//   - It is float32 throughout. A batch of another size or another place in the cache then changes a logit by a rounding error
//     and no more; quantised models round activations to 8 bits, where a rounding error may become a step.
//   - Every token is one ASCII character, or one of the test model's special tokens, so that any reply's text has one
//     tokenisation: the tokens that were decoded.
//   - The special tokens' logits are 0, far below the best, so that replies do not end early.
func randomModel(t testing.TB, architecture string, seed uint64) ([]byte, proxy.Base) {
	t.Helper()
	m := randomWeights{architecture: architecture, kv: randomKeys(t, architecture), rng: rand.New(rand.NewPCG(seed, 0))}
	tokens := m.kv["tokenizer.ggml.tokens"].([]string)
	if len(tokens) != randomVocabulary {
		t.Fatalf("the random model has %d tokens, want %d", len(tokens), randomVocabulary)
	}
	m.fill(len(tokens))
	path := filepath.Join(t.TempDir(), "random.gguf")
	out, err := os.Create(path)
	check(t, err)
	check(t, ggml.WriteGGUF(out, m.kv, m.tensors))
	check(t, out.Close())
	data, err := os.ReadFile(path)
	check(t, err)
	return data, proxy.Base{Architecture: architecture, EmbeddingLength: randomWidth, VocabSize: len(tokens)}
}

// randomKeys are the metadata of a random model: the test model's, with another architecture and fewer tokens.
func randomKeys(t testing.TB, architecture string) ggml.KV {
	t.Helper()
	f, err := os.Open(modelFile)
	check(t, err)
	defer f.Close()
	g, err := ggml.Decode(f, -1)
	check(t, err)
	kv := ggml.KV{
		"general.architecture":             architecture,
		"general.file_type":                uint32(0), // float32
		"block_count":                      uint32(2),
		"context_length":                   uint32(8192),
		"embedding_length":                 uint32(randomWidth),
		"feed_forward_length":              uint32(randomInner),
		"attention.head_count":             uint32(randomHeads),
		"attention.head_count_kv":          uint32(randomKVHeads),
		"attention.key_length":             uint32(randomHeadDim),
		"attention.value_length":           uint32(randomHeadDim),
		"attention.layer_norm_rms_epsilon": float32(1e-6),
		"rope.dimension_count":             uint32(randomHeadDim),
		"rope.freq_base":                   float32(1e4),
		"tokenizer.ggml.model":             "gpt2",
		"tokenizer.ggml.pre":               g.KV().String("tokenizer.ggml.pre"),
		"tokenizer.ggml.add_bos_token":     false,
		"tokenizer.ggml.bos_token_id":      g.KV().Uint("tokenizer.ggml.bos_token_id"),
		"tokenizer.ggml.eos_token_id":      g.KV().Uint("tokenizer.ggml.eos_token_id"),
		"tokenizer.ggml.eot_token_id":      g.KV().Uint("tokenizer.ggml.eos_token_id"),
		"tokenizer.ggml.merges":            []string{},
		"tokenizer.chat_template":          g.KV().String("tokenizer.chat_template"),
	}
	var tokens []string
	var types []int32
	for i, token := range g.KV().Strings("tokenizer.ggml.tokens") {
		// The byte-level alphabet writes a space as Ġ and a newline as Ċ.
		if kind := g.KV().Ints("tokenizer.ggml.token_type")[i]; kind == special || len(token) == 1 || token == "Ġ" || token == "Ċ" {
			tokens, types = append(tokens, token), append(types, kind)
		}
	}
	kv["tokenizer.ggml.tokens"], kv["tokenizer.ggml.token_type"] = tokens, types
	switch architecture {
	case "gemma3":
		// One layer in six attends to everything, the others to a window.
		maps.Copy(kv, ggml.KV{"block_count": uint32(6), "attention.sliding_window": uint32(randomWindow)})
	case "qwen3moe":
		maps.Copy(kv, ggml.KV{"expert_count": uint32(randomExperts), "expert_used_count": uint32(2)})
	case hybridArchitecture:
		// A short convolution, whose state is recurrent, and an attention layer.
		maps.Copy(kv, ggml.KV{"attention.head_count_kv": []int32{0, randomKVHeads}, "shortconv.l_cache": uint32(3)})
	}
	return kv
}

// special is the token type of tokens that text is searched for before it is split.
const special = 3

// randomWeights makes a model's tensors.
type randomWeights struct {
	architecture string
	kv           ggml.KV
	rng          *rand.Rand
	tensors      []*ggml.Tensor
}

// add adds a tensor with the given deviation around mean, the inner dimension first.
func (m *randomWeights) add(name string, mean, deviation float64, shape ...uint64) []byte {
	n := uint64(1)
	for _, d := range shape {
		n *= d
	}
	data := make([]byte, 0, 4*n)
	for range n {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(mean+deviation*m.rng.NormFloat64())))
	}
	m.tensors = append(m.tensors, &ggml.Tensor{Name: name, Kind: uint32(ggml.TensorTypeF32), Shape: shape, WriterTo: writerTo(data)})
	return data
}

// linear adds matrices, of a deviation that keeps the size of what they are multiplied with.
func (m *randomWeights) linear(prefix string, inner, outer uint64, names ...string) {
	for _, name := range names {
		m.add(prefix+name+".weight", 0, 1/math.Sqrt(float64(inner)), inner, outer)
	}
}

// norm adds the weights of norms, all of one value.
func (m *randomWeights) norm(prefix string, weight float64, width uint64, names ...string) {
	for _, name := range names {
		m.add(prefix+name+".weight", weight, 0, width)
	}
}

func (m *randomWeights) fill(vocabulary int) {
	const d, deviation = randomWidth, 3 // of the logits: a peaked distribution
	var output []byte
	if m.architecture == "gemma3" {
		// Tied, and embeddings are multiplied by √d. A tied random model repeats one token for ever where the token's own
		// embedding is most of the final state: here the layers, whose last norms say how much they add, outweigh it.
		output = m.add("token_embd.weight", 0, 1/math.Sqrt(d), d, uint64(vocabulary))
		m.norm("", deviation, d, "output_norm")
	} else {
		m.add("token_embd.weight", 0, 1, d, uint64(vocabulary))
		m.norm("", 1, d, "output_norm")
		output = m.add("output.weight", 0, deviation/math.Sqrt(d), d, uint64(vocabulary))
	}
	specials := slices.Index(m.kv["tokenizer.ggml.token_type"].([]int32), 1) // they come first
	clear(output[:4*d*specials])
	for i := range m.kv["block_count"].(uint32) {
		m.layer(fmt.Sprintf("blk.%d.", i), int(i))
	}
}

func (m *randomWeights) layer(block string, i int) {
	const d, heads, kvHeads = randomWidth, randomHeads * randomHeadDim, randomKVHeads * randomHeadDim
	m.norm(block, 1, d, "attn_norm", "ffn_norm")
	if m.architecture == hybridArchitecture && i == 0 {
		m.linear(block, d, 3*d, "shortconv.in_proj")
		m.linear(block, d, d, "shortconv.out_proj")
		m.linear(block, 3, d, "shortconv.conv")
	} else {
		m.linear(block, d, heads, "attn_q")
		m.linear(block, d, kvHeads, "attn_k", "attn_v")
		m.linear(block, heads, d, "attn_output")
	}
	switch m.architecture {
	case "qwen2":
		m.add(block+"attn_q.bias", 0, 0.3, heads)
		m.add(block+"attn_k.bias", 0, 0.3, kvHeads)
		m.add(block+"attn_v.bias", 0, 0.3, kvHeads)
	case "qwen3", "qwen3moe", hybridArchitecture:
		m.norm(block, 1, randomHeadDim, "attn_q_norm", "attn_k_norm")
	case "gemma3":
		m.norm(block, 1, randomHeadDim, "attn_q_norm", "attn_k_norm")
		// What attention adds is a mean of the window, which changes slowly: less of it than of what the last token says.
		m.norm(block, 0.5, d, "post_attention_norm")
		m.norm(block, 3, d, "post_ffw_norm")
	}
	if m.architecture == "qwen3moe" {
		m.linear(block, d, randomExperts, "ffn_gate_inp")
		// All experts' matrices of a kind are one tensor.
		small := 1 / math.Sqrt(d)
		m.add(block+"ffn_gate_exps.weight", 0, small, d, randomInner, randomExperts)
		m.add(block+"ffn_up_exps.weight", 0, small, d, randomInner, randomExperts)
		m.add(block+"ffn_down_exps.weight", 0, 1/math.Sqrt(randomInner), randomInner, d, randomExperts)
		return
	}
	m.linear(block, d, randomInner, "ffn_gate", "ffn_up")
	m.linear(block, randomInner, d, "ffn_down")
}

type writerTo []byte

func (w writerTo) WriteTo(out io.Writer) (int64, error) { return bytes.NewReader(w).WriteTo(out) }
