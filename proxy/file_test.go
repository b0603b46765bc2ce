package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ollama/ollama/fs/ggml"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

func TestRoundTrip(t *testing.T) {
	tests := map[string]func(c *Config){
		"every field":     func(c *Config) {},
		"lookahead, relu": func(c *Config) { c.Features, c.Activation = Lookahead, ReLU },
		"silu, one layer": func(c *Config) { c.Activation, c.FeedForwardLength = SiLU, []int{5} },
		"no hidden layer": func(c *Config) { c.FeedForwardLength = []int{} },
		"no base":         func(c *Config) { c.Base = Base{} },
		"no training":     func(c *Config) { c.Training = nil },
		"the zero pool":   func(c *Config) { c.Pool, c.Cutoff = sampler.Options{}, 0 },
		"the default pool": func(c *Config) {
			c.Pool, c.Cutoff = sampler.DefaultOptions(), DefaultCutoff
		},
		"many layers": func(c *Config) { c.FeedForwardLength = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} },
	}
	for name, change := range tests {
		for _, norm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, norm %t", name, norm), func(t *testing.T) {
				c := testConfig()
				change(&c)
				m := newModel(t, c, 1)
				if norm {
					withNorm(m, rand.New(rand.NewPCG(2, 2)))
				}
				b := fileOf(t, m)
				got, err := decodeBytes(b)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(m, got); diff != "" {
					t.Errorf("read differs from written (-written +read):\n%s", diff)
				}
				if err := got.Validate(); err != nil {
					t.Errorf("what was read is invalid: %v", err)
				}
				if !bytes.Equal(b, fileOf(t, got)) {
					t.Error("the same model makes two different files")
				}
			})
		}
	}
}

func TestTrainingValuesOfAnyKind(t *testing.T) {
	c := testConfig()
	c.Training = map[string]any{
		"int": 7, "int8": int8(-7), "uint": uint(7), "uint16": uint16(7), "uint64": uint64(1 << 62),
		"float32": float32(0.1), "float64": 0.1, "text": "ä", "bool": false,
	}
	got, err := decodeBytes(fileOf(t, newModel(t, c, 1)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"int": int64(7), "int8": int64(-7), "uint": int64(7), "uint16": int64(7), "uint64": int64(1 << 62),
		"float32": 0.1, "float64": 0.1, "text": "ä", "bool": false,
	}
	if diff := cmp.Diff(want, got.Training); diff != "" {
		t.Errorf("training values (-want +read):\n%s", diff)
	}
}

func TestDefaultsOfAbsentKeys(t *testing.T) {
	f := rawFileOf(t, newModel(t, testConfig(), 1))
	for key := range f.kv {
		switch key {
		case keyArchitecture, keyType, keyAdapterType, keyVersion, keyFeatures, keyEmbeddingLength, keyFeedForwardLength, keyActivation:
		default:
			delete(f.kv, key)
		}
	}
	f.kv["proxy_rlhf.invented_later"] = "ignored"
	got, err := decodeBytes(f.bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	want := testConfig()
	want.Pool, want.Cutoff, want.Base, want.Training = sampler.DefaultOptions(), 0.5, Base{}, nil
	if diff := cmp.Diff(want, got.Config); diff != "" {
		t.Errorf("config (-want +read):\n%s", diff)
	}
}

// refusals are files that must not load: what is done to a good one, and what
// the error has to name.
var refusals = map[string]struct {
	damage func(f *rawFile)
	field  string
}{
	"another architecture":   {func(f *rawFile) { f.kv[keyArchitecture] = "llama" }, keyArchitecture},
	"a model":                {func(f *rawFile) { f.kv[keyType] = "model" }, keyType},
	"a LoRA adapter":         {func(f *rawFile) { f.kv[keyAdapterType] = "lora" }, keyAdapterType},
	"type of another type":   {func(f *rawFile) { f.kv[keyType] = uint32(1) }, keyType},
	"no type":                {func(f *rawFile) { delete(f.kv, keyType) }, keyType},
	"no adapter type":        {func(f *rawFile) { delete(f.kv, keyAdapterType) }, keyAdapterType},
	"no version":             {func(f *rawFile) { delete(f.kv, keyVersion) }, keyVersion},
	"a newer version":        {func(f *rawFile) { f.kv[keyVersion] = uint32(2) }, keyVersion},
	"version 0":              {func(f *rawFile) { f.kv[keyVersion] = uint32(0) }, keyVersion},
	"version as text":        {func(f *rawFile) { f.kv[keyVersion] = "1" }, keyVersion},
	"no features":            {func(f *rawFile) { delete(f.kv, keyFeatures) }, keyFeatures},
	"unknown features":       {func(f *rawFile) { f.kv[keyFeatures] = "suffix" }, keyFeatures},
	"no embedding length":    {func(f *rawFile) { delete(f.kv, keyEmbeddingLength) }, keyEmbeddingLength},
	"embedding length 0":     {func(f *rawFile) { f.kv[keyEmbeddingLength] = uint32(0) }, keyEmbeddingLength},
	"negative length":        {func(f *rawFile) { f.kv[keyEmbeddingLength] = int32(-6) }, keyEmbeddingLength},
	"half a length":          {func(f *rawFile) { f.kv[keyEmbeddingLength] = float32(6.5) }, keyEmbeddingLength},
	"huge embedding length":  {func(f *rawFile) { f.kv[keyEmbeddingLength] = uint32(1 << 31) }, keyEmbeddingLength},
	"beyond 32 bits":         {func(f *rawFile) { f.kv[keyEmbeddingLength] = uint64(1<<32 + 6) }, keyEmbeddingLength},
	"no hidden sizes":        {func(f *rawFile) { delete(f.kv, keyFeedForwardLength) }, keyFeedForwardLength},
	"hidden sizes as text":   {func(f *rawFile) { f.kv[keyFeedForwardLength] = []string{"10", "7"} }, keyFeedForwardLength},
	"hidden size 0":          {func(f *rawFile) { f.kv[keyFeedForwardLength] = []int32{10, 0} }, keyFeedForwardLength},
	"hidden size -1":         {func(f *rawFile) { f.kv[keyFeedForwardLength] = []int32{10, -1} }, keyFeedForwardLength},
	"too many layers":        {func(f *rawFile) { f.kv[keyFeedForwardLength] = make([]int32, 65) }, keyFeedForwardLength},
	"too many parameters":    {func(f *rawFile) { f.kv[keyFeedForwardLength] = []int32{1 << 20, 1 << 20} }, keyFeedForwardLength},
	"no activation":          {func(f *rawFile) { delete(f.kv, keyActivation) }, keyActivation},
	"unknown activation":     {func(f *rawFile) { f.kv[keyActivation] = "gelu" }, keyActivation},
	"cutoff above 1":         {func(f *rawFile) { f.kv[keyCutoff] = float32(1.01) }, keyCutoff},
	"cutoff below 0":         {func(f *rawFile) { f.kv[keyCutoff] = float32(-0.1) }, keyCutoff},
	"cutoff NaN":             {func(f *rawFile) { f.kv[keyCutoff] = float32(math.NaN()) }, keyCutoff},
	"cutoff as text":         {func(f *rawFile) { f.kv[keyCutoff] = "0.5" }, keyCutoff},
	"p_t above 1":            {func(f *rawFile) { f.kv[keyPT] = float32(1.5) }, keyPT},
	"p_t below 0":            {func(f *rawFile) { f.kv[keyPT] = int32(-1) }, keyPT},
	"p_t NaN":                {func(f *rawFile) { f.kv[keyPT] = float32(math.NaN()) }, keyPT},
	"temperature infinite":   {func(f *rawFile) { f.kv[keyTemperature] = float32(math.Inf(1)) }, keyTemperature},
	"temperature below 0":    {func(f *rawFile) { f.kv[keyTemperature] = float32(-1) }, keyTemperature},
	"top_p NaN":              {func(f *rawFile) { f.kv[keyTopP] = float32(math.NaN()) }, keyTopP},
	"min_p above 1":          {func(f *rawFile) { f.kv[keyMinP] = float32(2) }, keyMinP},
	"top_k of 40.5":          {func(f *rawFile) { f.kv[keyTopK] = float32(40.5) }, keyTopK},
	"max_rejections below 0": {func(f *rawFile) { f.kv[keyMaxRejections] = int32(-1) }, keyMaxRejections},
	"base of another width":  {func(f *rawFile) { f.kv[keyBaseEmbeddingLength] = uint32(7) }, keyBaseEmbeddingLength},
	"negative vocabulary":    {func(f *rawFile) { f.kv[keyBaseVocabSize] = int32(-1) }, keyBaseVocabSize},
	"base as a number":       {func(f *rawFile) { f.kv[keyBaseArchitecture] = uint32(1) }, keyBaseArchitecture},
	"training NaN":           {func(f *rawFile) { f.kv[trainingPrefix+"score"] = float32(math.NaN()) }, trainingPrefix + "score"},
	"training array":         {func(f *rawFile) { f.kv[trainingPrefix+"scores"] = []float32{1, 2} }, trainingPrefix + "scores"},
	"alignment 0":            {func(f *rawFile) { f.kv["general.alignment"] = int32(0) }, "general.alignment"},

	"wider than it says":    {func(f *rawFile) { f.kv[keyEmbeddingLength], f.kv[keyBaseEmbeddingLength] = uint32(5), uint32(5) }, "proxy.0.weight"},
	"features swapped":      {func(f *rawFile) { f.kv[keyFeatures] = "lookahead" }, "proxy.0.weight"},
	"a hidden size too low": {func(f *rawFile) { f.kv[keyFeedForwardLength] = []int32{10, 6} }, "proxy.1.weight"},
	"a layer too few":       {func(f *rawFile) { f.kv[keyFeedForwardLength] = []int32{10} }, "proxy.1.weight"},
	"a layer too many":      {func(f *rawFile) { f.kv[keyFeedForwardLength] = []int32{10, 7, 2} }, "proxy.3.weight"},
	"transposed":            {func(f *rawFile) { f.setF32("proxy.0.weight", make([]float32, 120), 10, 12) }, "proxy.0.weight"},
	"flat weight":           {func(f *rawFile) { f.setF32("proxy.0.weight", make([]float32, 120), 120) }, "proxy.0.weight"},
	"bias of two sides":     {func(f *rawFile) { f.setF32("proxy.0.bias", make([]float32, 10), 1, 10) }, "proxy.0.bias"},
	"bias too short":        {func(f *rawFile) { f.setF32("proxy.1.bias", make([]float32, 6), 6) }, "proxy.1.bias"},
	"three sides":           {func(f *rawFile) { f.setF32("proxy.0.weight", make([]float32, 120), 12, 5, 2) }, "proxy.0.weight"},
	"five sides":            {func(f *rawFile) { f.setF32("proxy.0.weight", make([]float32, 120), 12, 5, 2, 1, 1) }, "proxy.0.weight"},
	"no bias":               {func(f *rawFile) { delete(f.tensors, "proxy.2.bias") }, "proxy.2.bias"},
	"no weight":             {func(f *rawFile) { delete(f.tensors, "proxy.1.weight") }, "proxy.1.weight"},
	"half a norm":           {func(f *rawFile) { f.setF32("proxy.norm.weight", make([]float32, 12), 12) }, "proxy.norm.bias"},
	"norm of another width": {func(f *rawFile) {
		f.setF32("proxy.norm.weight", make([]float32, 6), 6)
		f.setF32("proxy.norm.bias", make([]float32, 6), 6)
	}, "proxy.norm.weight"},
	"unknown tensor":    {func(f *rawFile) { f.setF32("critic.0.weight", make([]float32, 4), 4) }, "critic.0.weight"},
	"quantised":         {func(f *rawFile) { f.setF32("proxy.0.bias", make([]float32, 32), 32); f.quantise("proxy.0.bias") }, "proxy.0.bias"},
	"a NaN weight":      {func(f *rawFile) { f.poison("proxy.0.weight", 120, math.NaN(), 12, 10) }, "proxy.0.weight"},
	"an infinite bias":  {func(f *rawFile) { f.poison("proxy.2.bias", 2, math.Inf(-1), 2) }, "proxy.2.bias"},
	"a float16 overrun": {func(f *rawFile) { f.setF16("proxy.1.bias", []float32{0, 0, 1e9, 0, 0, 0, 0}, 7) }, "proxy.1.bias"},
}

// quantise calls a tensor Q4_0 without changing its data.
func (f *rawFile) quantise(name string) {
	f.tensors[name].Kind = uint32(ggml.TensorTypeQ4_0)
}

// poison puts one bad number at the end of an otherwise zero tensor.
func (f *rawFile) poison(name string, n int, bad float64, sides ...uint64) {
	values := make([]float32, n)
	values[n-1] = float32(bad)
	f.setF32(name, values, sides...)
}

func TestRefusals(t *testing.T) {
	for name, test := range refusals {
		t.Run(name, func(t *testing.T) {
			f := rawFileOf(t, newModel(t, testConfig(), 1))
			test.damage(f)
			_, err := decodeBytes(f.bytes(t))
			wantFieldError(t, err, test.field)
		})
	}
}

func wantFieldError(t *testing.T, err error, field string) {
	t.Helper()
	var fieldErr *FieldError
	if !errors.As(err, &fieldErr) {
		t.Fatalf("got error %v, want a FieldError on %s", err, field)
	}
	if fieldErr.Field != field {
		t.Errorf("got %q, want an error that names %s", err, field)
	}
}

// TestNumberTypes reads the same proxy with its numbers in every type that GGUF
// has; gguf-py writes whichever it is asked for.
func TestNumberTypes(t *testing.T) {
	want := testConfig()
	for _, convert := range []func(int) any{
		func(i int) any { return int32(i) },
		func(i int) any { return uint32(i) },
		func(i int) any { return int64(i) },
		func(i int) any { return uint64(i) },
		func(i int) any { return float32(i) },
	} {
		f := rawFileOf(t, newModel(t, want, 1))
		f.kv[keyVersion] = convert(1)
		f.kv[keyEmbeddingLength] = convert(6)
		f.kv[keyTopK] = convert(40)
		f.kv[keyMaxRejections] = convert(4)
		f.kv[keyBaseVocabSize] = convert(100)
		f.kv[keyTemperature] = convert(1)
		want.Pool.Temperature = 1
		for _, sizes := range []any{[]int32{10, 7}, []uint32{10, 7}, []int64{10, 7}, []float32{10, 7}} {
			f.kv[keyFeedForwardLength] = sizes
			got, err := decodeBytes(f.bytes(t))
			if err != nil {
				t.Fatalf("%T, %T: %v", convert(1), sizes, err)
			}
			if diff := cmp.Diff(want, got.Config); diff != "" {
				t.Errorf("%T, %T (-want +read):\n%s", convert(1), sizes, diff)
			}
		}
	}
}

// header starts a GGUF file by hand, for what no writer writes.
func header(version uint32, tensors, keys uint64) *bytes.Buffer {
	var b bytes.Buffer
	b.WriteString("GGUF")
	put(&b, version, tensors, keys)
	return &b
}

func put(b *bytes.Buffer, values ...any) {
	for _, v := range values {
		if s, ok := v.(string); ok {
			put(b, uint64(len(s)))
			b.WriteString(s)
			continue
		}
		if err := binary.Write(b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
}

// TestHostileHeaders holds what makes a trusting reader allocate without bound,
// panic, or loop for ever.
func TestHostileHeaders(t *testing.T) {
	with := func(keys uint64, values ...any) []byte {
		b := header(3, 0, keys)
		put(b, values...)
		return b.Bytes()
	}
	tensor := func(values ...any) []byte {
		b := header(3, 1, 0)
		put(b, values...)
		return b.Bytes()
	}
	const huge = uint64(math.MaxUint64)
	tests := map[string]struct {
		file []byte
		want string
	}{
		"empty":                   {nil, "cut short"},
		"three bytes":             {[]byte("GGU"), "cut short"},
		"not GGUF":                {[]byte("PK\x03\x04 and more"), "not a GGUF file"},
		"version 1":               {header(1, 0, 0).Bytes(), "GGUF version 1"},
		"big-endian":              {header(3<<24, 0, 0).Bytes(), "GGUF version 50331648"},
		"endless tensors":         {header(3, huge, 0).Bytes(), "tensors"},
		"endless keys":            {header(3, 0, huge).Bytes(), "keys"},
		"endless key":             {with(1, huge), "a key"},
		"negative key":            {with(1, uint64(1)<<63), "a key"},
		"empty key":               {with(1, ""), "a key"},
		"endless string":          {with(1, "k", uint32(8), huge), "k is"},
		"string beyond the end":   {with(1, "k", uint32(8), uint64(1000)), "cut short at k"},
		"unknown type":            {with(1, "k", uint32(13)), "k has GGUF type 13"},
		"endless array":           {with(1, "k", uint32(9), uint32(4), huge), "k has 18446744073709551615 elements"},
		"array beyond the end":    {with(1, "k", uint32(9), uint32(10), uint64(60000)), "cut short at k"},
		"endless array of string": {with(1, "k", uint32(9), uint32(8), huge), "k has"},
		"strings beyond the end":  {with(1, "k", uint32(9), uint32(8), uint64(60000), "a"), "cut short at the length of k"},
		"nested array":            {with(1, "k", uint32(9), uint32(9), uint64(1)), "array of GGUF type 9"},
		"array of unknown type":   {with(1, "k", uint32(9), uint32(99), uint64(1)), "array of GGUF type 99"},
		"the same key twice":      {with(2, "k", uint32(4), uint32(1), "k", uint32(4), uint32(1)), "k is there twice"},
		"alignment 0":             {with(1, "general.alignment", uint32(4), uint32(0)), "general.alignment is 0"},
		"alignment 3":             {with(1, "general.alignment", uint32(4), uint32(3)), "general.alignment is 3"},
		"alignment huge":          {with(1, "general.alignment", uint32(4), uint32(1<<31)), "general.alignment is"},
		"alignment as text":       {with(1, "general.alignment", uint32(8), "32"), "general.alignment has GGUF type 8"},
		"endless sides":           {tensor("t", uint32(math.MaxUint32)), "t has 4294967295 dimensions"},
		"no sides":                {tensor("t", uint32(0)), "t has 0 dimensions"},
		"endless side":            {tensor("t", uint32(1), huge, uint32(0), uint64(0)), "t has a side of"},
		"a side of 0":             {tensor("t", uint32(1), uint64(0), uint32(0), uint64(0)), "t has a side of 0"},
		"overflowing product":     {tensor("t", uint32(4), [4]uint64{1 << 20, 1 << 20, 1 << 20, 1 << 20}, uint32(0), uint64(0)), ""},
		"endless offset":          {tensor("t", uint32(1), uint64(1), uint32(0), huge), ""},
		"tensor cut short":        {tensor("t", uint32(1), uint64(1), uint32(0)), "cut short at the offset of t"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := decodeBytes(test.file)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestTensorLayout moves tensors about in an otherwise good file.
func TestTensorLayout(t *testing.T) {
	file := fileOf(t, newModel(t, testConfig(), 1))
	// In the description, the offset is the last field: name, dimensions, shape,
	// type, offset.
	offsetOf := func(name string, dims int) int {
		return bytes.Index(file, []byte(name)) + len(name) + 4 + 8*dims + 4
	}
	tests := map[string]func(b []byte) []byte{
		"overlap":         func(b []byte) []byte { copy(b[offsetOf("proxy.1.weight", 2):], make([]byte, 8)); return b },
		"gap":             func(b []byte) []byte { b[offsetOf("proxy.2.weight", 2)] += 32; return b },
		"unaligned":       func(b []byte) []byte { b[offsetOf("proxy.2.weight", 2)] += 4; return b },
		"beyond the file": func(b []byte) []byte { b[offsetOf("proxy.2.weight", 2)+5] = 1; return b },
		"wraps around": func(b []byte) []byte {
			copy(b[offsetOf("proxy.2.weight", 2):], "\xe0\xff\xff\xff\xff\xff\xff\xff")
			return b
		},
		"more follows": func(b []byte) []byte { return append(b, make([]byte, 64)...) },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := decodeBytes(damage(bytes.Clone(file))); err == nil {
				t.Error("the file was read, want an error")
			}
		})
	}
	if _, err := decodeBytes(append(bytes.Clone(file), make([]byte, 8)...)); err != nil {
		t.Errorf("padding after the last tensor, as gguf-py writes it: %v", err)
	}
}

func TestCutShort(t *testing.T) {
	file := fileOf(t, newModel(t, testConfig(), 1))
	for n := range len(file) {
		if _, err := decodeBytes(file[:n]); err == nil {
			t.Fatalf("%d of %d bytes were read as a proxy", n, len(file))
		}
	}
	if _, err := Decode(bytes.NewReader(file), int64(len(file))+1); err == nil {
		t.Error("a file shorter than its announced size was read")
	}
}

// TestDamagedFiles flips bits and cuts. Whatever comes of it, there is no panic,
// and what loads is a valid model.
func TestDamagedFiles(t *testing.T) {
	file := fileOf(t, withNorm(newModel(t, testConfig(), 1), rand.New(rand.NewPCG(3, 3))))
	header := bytes.Index(file, []byte("proxy.norm.weight")) + 64
	refused := 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 0))
		b := bytes.Clone(file)
		for range 1 + rng.IntN(8) {
			b[rng.IntN(header)] ^= 1 << rng.IntN(8)
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		if rng.IntN(4) == 0 {
			b = b[:rng.IntN(len(b))]
		}
		m, err := decodeBytes(b)
		if err != nil {
			refused++
			continue
		}
		if err := m.Validate(); err != nil {
			t.Errorf("seed %d: the damaged file was read as an invalid model: %v", seed, err)
		}
	}
	if refused < 200 {
		t.Errorf("%d of 400 damaged files were refused: the damage is too small to test anything", refused)
	}
}

// FuzzDecode holds what TestDamagedFiles does, for as long as it is let. Weights
// have many bytes, which Go's minimiser takes a minute each to shorten: run it with
// -fuzzminimizetime=20x.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"lookahead_f32.gguf", "prefix_f16_norm.gguf"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(fileOf(f, newModel(f, testConfig(), 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeBytes(b)
		if err != nil {
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatalf("read as an invalid model: %v", err)
		}
		again, err := decodeBytes(fileOf(t, m))
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if diff := cmp.Diff(m.Layers, again.Layers); diff != "" {
			t.Fatalf("weights changed (-first +second):\n%s", diff)
		}
	})
}

func TestWriteFileReplacesAtomically(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "proxy.gguf")
	first, second := newModel(t, testConfig(), 1), newModel(t, testConfig(), 2)
	for _, m := range []*Model{first, second} {
		if err := m.WriteFile(path); err != nil {
			t.Fatal(err)
		}
	}
	broken := newModel(t, testConfig(), 3)
	broken.Layers[1].Weight[5] = float32(math.NaN())
	wantFieldError(t, broken.WriteFile(path), "proxy.1.weight")
	fails := errors.New("disk full")
	if err := writeAtomically(path, func(f *os.File) error {
		io.WriteString(f, "half a file")
		return fails
	}); !errors.Is(err, fails) {
		t.Errorf("got %v, want the write's own error", err)
	}

	got, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second, got); diff != "" {
		t.Errorf("the file is not what was last written whole (-want +read):\n%s", diff)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files are left in the folder, want 1: %v", len(entries), entries)
	}
}

func TestOpenErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "README.md")
	if err := os.WriteFile(text, []byte("# not a proxy"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "missing.gguf"), dir, text} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s) = %v, want an error that names the file", path, err)
		}
	}
	if err := newModel(t, testConfig(), 1).WriteFile(filepath.Join(dir, "no", "such", "folder.gguf")); err == nil {
		t.Error("written into a folder that does not exist")
	}
}
