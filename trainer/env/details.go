package env

import (
	"context"
	"fmt"
	"regexp"

	"github.com/ollama/ollama/api"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Details are what a server says of a model.
type Details struct {
	proxy.Base
	// ContextLength is the longest context that the model was trained for, in tokens; 0 is unknown.
	ContextLength int
	// CacheBytes is what the keys and values of one token take, in float16; 0 is unknown.
	CacheBytes int64
	// Bytes is the size of the model's files; 0 is unknown.
	Bytes int64
}

var blobName = regexp.MustCompile(`sha256-([0-9a-f]{64})`)

// Base says what a model is, as a proxy file records it.
func (c *Client) Base(ctx context.Context, model string) (proxy.Base, error) {
	show, err := c.api.Show(ctx, &api.ShowRequest{Model: model, Verbose: true})
	if err != nil {
		return proxy.Base{}, fmt.Errorf("model %s: %w", model, err)
	}
	info := modelInfo(show.ModelInfo)
	b := proxy.Base{Architecture: info.architecture(), EmbeddingLength: info.number("embedding_length")}
	if tokens, ok := info["tokenizer.ggml.tokens"].([]any); ok {
		b.VocabSize = len(tokens)
	}
	if m := blobName.FindStringSubmatch(show.Modelfile); m != nil {
		b.Digest = "sha256:" + m[1]
	}
	if b.EmbeddingLength == 0 || b.VocabSize == 0 {
		return proxy.Base{}, fmt.Errorf("model %s: the server does not say its embedding length and vocabulary", model)
	}
	return b, nil
}

// Details says more of a model than Base, for estimates of memory.
func (c *Client) Details(ctx context.Context, model string) (Details, error) {
	base, err := c.Base(ctx, model)
	if err != nil {
		return Details{}, err
	}
	show, err := c.api.Show(ctx, &api.ShowRequest{Model: model})
	if err != nil {
		return Details{}, fmt.Errorf("model %s: %w", model, err)
	}
	info := modelInfo(show.ModelInfo)
	d := Details{Base: base, ContextLength: info.number("context_length"), CacheBytes: info.cacheBytes()}
	list, err := c.api.List(ctx)
	if err != nil {
		return Details{}, fmt.Errorf("models: %w", err)
	}
	for _, m := range list.Models {
		if m.Name == model || m.Name == model+":latest" {
			d.Bytes = m.Size
		}
	}
	return d, nil
}

// modelInfo is a GGUF file's metadata as /api/show gives it.
type modelInfo map[string]any

func (m modelInfo) architecture() string {
	s, _ := m["general.architecture"].(string)
	return s
}

// number is a key of the model's architecture; 0 where it has none.
func (m modelInfo) number(key string) int {
	n, _ := m[m.architecture()+"."+key].(float64)
	return int(n)
}

// cacheBytes counts two vectors of 16-bit numbers for each head of keys and values in each block. Architectures that cache
// something else (recurrent ones, or different numbers of heads in each block) count as unknown.
func (m modelInfo) cacheBytes() int64 {
	blocks, heads := m.number("block_count"), m.number("attention.head_count")
	kv := m.number("attention.head_count_kv")
	if _, there := m[m.architecture()+".attention.head_count_kv"]; !there {
		kv = heads // files leave it out where heads are not grouped
	}
	if heads == 0 {
		return 0
	}
	key, value := m.number("attention.key_length"), m.number("attention.value_length")
	if key == 0 {
		key = m.number("embedding_length") / heads
	}
	if value == 0 {
		value = key
	}
	return 2 * int64(blocks) * int64(kv) * int64(key+value)
}
