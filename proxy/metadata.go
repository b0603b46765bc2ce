package proxy

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ollama/ollama/fs/ggml"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// FileVersion is the version of the file format that this package writes, and
// the newest that it reads.
const FileVersion = 1

// What makes a GGUF file a proxy.
const (
	keyArchitecture = "general.architecture"
	keyType         = "general.type"
	keyAdapterType  = "adapter.type"

	architecture = "proxy_rlhf"
	fileType     = "adapter"
	adapterType  = "proxy"
)

// The metadata keys of the format.
const (
	keyVersion           = "proxy_rlhf.version"
	keyFeatures          = "proxy_rlhf.features"
	keyEmbeddingLength   = "proxy_rlhf.embedding_length"
	keyFeedForwardLength = "proxy_rlhf.feed_forward_length"
	keyActivation        = "proxy_rlhf.activation"

	keyPT            = "proxy_rlhf.p_t"
	keyTemperature   = "proxy_rlhf.temperature"
	keyTopP          = "proxy_rlhf.top_p"
	keyTopK          = "proxy_rlhf.top_k"
	keyMinP          = "proxy_rlhf.min_p"
	keyCutoff        = "proxy_rlhf.cutoff"
	keyMaxRejections = "proxy_rlhf.max_rejections"

	keyBaseArchitecture    = "proxy_rlhf.base.architecture"
	keyBaseEmbeddingLength = "proxy_rlhf.base.embedding_length"
	keyBaseVocabSize       = "proxy_rlhf.base.vocab_size"
	keyBaseDigest          = "proxy_rlhf.base.digest"

	trainingPrefix = "proxy_rlhf.training."
)

type floatField struct {
	key   string
	value *float64
}

type intField struct {
	key   string
	value *int
}

// poolFloats and poolInts tie the optional numbers to their keys, for reading,
// writing and checking alike.
func (c *Config) poolFloats() []floatField {
	return []floatField{
		{keyPT, &c.Pool.PT},
		{keyTemperature, &c.Pool.Temperature},
		{keyTopP, &c.Pool.TopP},
		{keyMinP, &c.Pool.MinP},
		{keyCutoff, &c.Cutoff},
	}
}

func (c *Config) poolInts() []intField {
	return []intField{
		{keyTopK, &c.Pool.TopK},
		{keyMaxRejections, &c.Pool.MaxRejections},
	}
}

// metadata returns the configuration as GGUF metadata. The configuration must be
// valid.
func (c Config) metadata() (ggml.KV, error) {
	hidden := make([]uint32, len(c.FeedForwardLength))
	for i, n := range c.FeedForwardLength {
		hidden[i] = uint32(n)
	}
	kv := ggml.KV{
		keyArchitecture:      architecture,
		keyType:              fileType,
		keyAdapterType:       adapterType,
		keyVersion:           uint32(FileVersion),
		keyFeatures:          string(c.Features),
		keyEmbeddingLength:   uint32(c.EmbeddingLength),
		keyFeedForwardLength: hidden,
		keyActivation:        string(c.Activation),
	}
	for _, f := range c.poolFloats() {
		kv[f.key] = float32(*f.value)
	}
	for _, f := range c.poolInts() {
		kv[f.key] = int32(*f.value)
	}
	if b := c.Base; b != (Base{}) {
		kv[keyBaseArchitecture] = b.Architecture
		kv[keyBaseEmbeddingLength] = uint32(b.EmbeddingLength)
		kv[keyBaseVocabSize] = uint32(b.VocabSize)
		kv[keyBaseDigest] = b.Digest
	}
	for name, v := range c.Training {
		stored, err := trainingValue(v)
		if err != nil {
			return nil, fieldErrorf(trainingPrefix+name, "%v", err)
		}
		if f, ok := stored.(float64); ok {
			stored = float32(f)
		}
		kv[trainingPrefix+name] = stored
	}
	return kv, nil
}

// trainingValue reduces a value of any of the kinds that Config.Training takes,
// and that a GGUF file may hold, to string, bool, int64 or float64.
func trainingValue(v any) (any, error) {
	switch v := v.(type) {
	case string, bool:
		return v, nil
	case uint64:
		if v > math.MaxInt64 {
			return nil, fmt.Errorf("is %d, which does not fit 64 bits with a sign", v)
		}
		return int64(v), nil
	case uint:
		return trainingValue(uint64(v))
	}
	if i, ok := integer(v); ok {
		return i, nil
	}
	if f, ok := number(v); ok {
		if !fitsFloat32(f) {
			return nil, fmt.Errorf("is %v, which is not a finite float32", f)
		}
		return f, nil
	}
	return nil, fmt.Errorf("is a %T, want a string, a bool or a number (one key for each value of a list)", v)
}

// configFromMetadata reads the configuration. It is complete but not yet
// validated; absent optional numbers have their defaults.
func configFromMetadata(kv ggml.KV) (Config, error) {
	c := Config{Pool: sampler.DefaultOptions(), Cutoff: DefaultCutoff}
	r := metadataReader{kv: kv}

	r.expect(keyArchitecture, architecture)
	r.expect(keyType, fileType)
	r.expect(keyAdapterType, adapterType)
	r.version()
	c.Features = Features(r.text(keyFeatures, required))
	c.EmbeddingLength = r.integer(keyEmbeddingLength, required, 0)
	c.FeedForwardLength = r.integers(keyFeedForwardLength)
	c.Activation = Activation(r.text(keyActivation, required))
	for _, f := range c.poolFloats() {
		*f.value = r.float(f.key, *f.value)
	}
	for _, f := range c.poolInts() {
		*f.value = r.integer(f.key, optional, *f.value)
	}
	c.Base = Base{
		Architecture:    r.text(keyBaseArchitecture, optional),
		EmbeddingLength: r.integer(keyBaseEmbeddingLength, optional, 0),
		VocabSize:       r.integer(keyBaseVocabSize, optional, 0),
		Digest:          r.text(keyBaseDigest, optional),
	}
	c.Training = r.training()
	return c, r.err
}

// Whether a key must be there.
const (
	optional = false
	required = true
)

// metadataReader reads values by key and keeps the first error, so that a list of
// keys reads as a list.
type metadataReader struct {
	kv  ggml.KV
	err error
}

func (r *metadataReader) failf(key, format string, args ...any) {
	if r.err == nil {
		r.err = fieldErrorf(key, format, args...)
	}
}

// value looks into the map itself: KV's typed getters put the architecture in
// front of keys such as adapter.type and take one number type only.
func (r *metadataReader) value(key string, must bool) (any, bool) {
	v, ok := r.kv[key]
	if !ok && must {
		r.failf(key, "is missing: this is no proxy file, or one that its writer did not finish")
	}
	return v, ok
}

func (r *metadataReader) text(key string, must bool) string {
	v, ok := r.value(key, must)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		r.failf(key, "is a %T, want a string", v)
	}
	return s
}

func (r *metadataReader) expect(key, want string) {
	if got := r.text(key, required); r.err == nil && got != want {
		r.failf(key, "is %q, want %q: this GGUF file is not a proxy", got, want)
	}
}

func (r *metadataReader) version() {
	v := r.integer(keyVersion, required, 0)
	switch {
	case r.err != nil:
	case v > FileVersion:
		r.failf(keyVersion, "is %d, this program reads up to %d: use a newer program, or export the proxy with an older one", v, FileVersion)
	case v < 1:
		r.failf(keyVersion, "is %d, want 1 to %d", v, FileVersion)
	}
}

func (r *metadataReader) integer(key string, must bool, absent int) int {
	v, ok := r.value(key, must)
	if !ok {
		return absent
	}
	return r.toInt(key, v)
}

// toInt takes any numeric type: gguf-py writes what it is told to.
func (r *metadataReader) toInt(key string, v any) int {
	if i, ok := integer(v); ok && i >= math.MinInt32 && i <= math.MaxInt32 {
		return int(i)
	}
	if f, ok := number(v); ok && f == math.Trunc(f) && math.Abs(f) <= math.MaxInt32 {
		return int(f)
	}
	r.failf(key, "is %v (%T), want a whole number of at most 32 bits", v, v)
	return 0
}

func (r *metadataReader) float(key string, absent float64) float64 {
	v, ok := r.value(key, optional)
	if !ok {
		return absent
	}
	f, ok := number(v)
	if !ok {
		r.failf(key, "is a %T, want a number", v)
	}
	return f
}

// integers reads an array of numbers, or one number as an array of one.
func (r *metadataReader) integers(key string) []int {
	v, ok := r.value(key, required)
	if !ok {
		return nil
	}
	if _, ok := number(v); ok {
		return []int{r.toInt(key, v)}
	}
	// The array type of fs/ggml is not exported, but it can write itself as JSON.
	var list []float64
	encoded, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(encoded, &list)
	}
	if err != nil {
		r.failf(key, "is a %T, want an array of whole numbers", v)
	}
	ints := make([]int, len(list))
	for i, f := range list {
		ints[i] = r.toInt(key, f)
	}
	return ints
}

// training collects proxy_rlhf.training.*; nil if there are none.
func (r *metadataReader) training() map[string]any {
	var training map[string]any
	for key, v := range r.kv {
		name, ok := strings.CutPrefix(key, trainingPrefix)
		if !ok {
			continue
		}
		value, err := trainingValue(v)
		if err != nil {
			r.failf(key, "%v", err)
			continue
		}
		if training == nil {
			training = make(map[string]any)
		}
		training[name] = value
	}
	return training
}

// integer converts any integer but the unsigned ones of 64 bits that do not fit.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), v <= math.MaxInt64
	}
	return 0, false
}

// number converts any number to float64. A float32 becomes the shortest decimal
// that names it: whoever wrote p_t = 0.01 as a float32 meant 0.01, and not
// 0.009999999776482582.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		f, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
		return f, err == nil
	case uint64:
		return float64(v), true
	}
	i, ok := integer(v)
	return float64(i), ok
}
