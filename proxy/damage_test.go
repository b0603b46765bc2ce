package proxy

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// damagedFiles makes 100 files out of a good one, always the same: 25 that end early, 25 with lengths, counts and offsets that
// no file can have, 25 with bad weights and 25 with flipped bits in the header. Flipped bits alone may leave a valid file.
func damagedFiles(t *testing.T, good []byte) map[string][]byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(100, 0))
	tensors := storedTensors(t, good)
	header := int(tensors[0].offset)
	files := make(map[string][]byte)
	add := func(kind string, damage func(b []byte) []byte) {
		for i := range 25 {
			name := fmt.Sprintf("%s %d", kind, i)
			for files[name] == nil || bytes.Equal(files[name], good) {
				files[name] = damage(bytes.Clone(good))
			}
		}
	}
	add("cut short", func(b []byte) []byte { return b[:rng.IntN(len(b))] })
	add("hostile length", func(b []byte) []byte {
		at := rng.IntN(len(lengths(b)))
		huge := []uint64{math.MaxUint64, 1 << 63, 1 << 40, uint64(len(b)) + 1, 1 << 62}
		binary.LittleEndian.PutUint64(b[lengths(b)[at]:], huge[rng.IntN(len(huge))])
		return b
	})
	add("bad weight", func(b []byte) []byte {
		bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1)}
		tensor := tensors[rng.IntN(len(tensors))]
		at := int(tensor.offset) + 4*rng.IntN(tensor.shape[0])
		binary.LittleEndian.PutUint32(b[at:], math.Float32bits(float32(bad[rng.IntN(len(bad))])))
		return b
	})
	add("flipped bits", func(b []byte) []byte {
		for range 1 + rng.IntN(4) {
			b[rng.IntN(header)] ^= 1 << rng.IntN(8)
		}
		return b
	})
	return files
}

// storedTensors lists a file's tensors in their order.
func storedTensors(t *testing.T, file []byte) []storedTensor {
	t.Helper()
	_, stored, err := decodeHeader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return slices.SortedFunc(maps.Values(stored), func(a, b storedTensor) int { return cmp.Compare(a.offset, b.offset) })
}

// lengths are the offsets of the header's counts and of every key's length and, where it is text, its value's.
func lengths(file []byte) []int {
	at := []int{8, 16} // tensors, keys
	for _, key := range []string{keyArchitecture, keyType, keyAdapterType, keyFeatures, keyFeedForwardLength, keyActivation, keyEmbeddingLength, keyPT} {
		i := bytes.Index(file, []byte(key))
		at = append(at, i-8)
		switch binary.LittleEndian.Uint32(file[i+len(key):]) {
		case ggufString:
			at = append(at, i+len(key)+4)
		case ggufArray:
			at = append(at, i+len(key)+8)
		}
	}
	return at
}

// Each of 100 damaged files is refused with an error that names the file, or is a valid proxy; none does harm. The parts of a
// model's life that read only the header agree.
func TestHundredDamagedFiles(t *testing.T) {
	good := fileOf(t, withNorm(newModel(t, testConfig(), 1), rand.New(rand.NewPCG(3, 3))))
	files := damagedFiles(t, good)
	if len(files) != 100 {
		t.Fatalf("%d files, want 100", len(files))
	}
	refused := make(map[string]int)
	for name, content := range files {
		kind := name[:strings.LastIndexByte(name, ' ')]
		path := writeBytes(t, content)
		m, err := Open(path)
		header, headerErr := ReadHeader(path)
		_, _ = IsProxy(path) // must return
		if err == nil {
			if err := m.Validate(); err != nil {
				t.Errorf("%s: read as an invalid proxy: %v", name, err)
			}
			if d := gocmp.Diff(m.Config, header.Config); headerErr != nil || d != "" {
				t.Errorf("%s: the header alone: %v\n%s", name, headerErr, d)
			}
			continue
		}
		refused[kind]++
		if m != nil {
			t.Errorf("%s: a model and an error", name)
		}
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
		var field *FieldError
		if kind == "bad weight" {
			if !errors.As(err, &field) || !strings.HasPrefix(field.Field, "proxy.") || headerErr != nil {
				t.Errorf("%s: got %v and of the header %v, want an error that names the tensor", name, err, headerErr)
			}
		}
	}
	want := map[string]int{"cut short": 25, "hostile length": 25, "bad weight": 25}
	for kind, n := range want {
		if refused[kind] != n {
			t.Errorf("%s: %d refused, want all %d", kind, refused[kind], n)
		}
	}
	if n := refused["flipped bits"]; n < 15 || n == 25 {
		t.Errorf("flipped bits: %d of 25 refused, this test wants most, and some that stay valid", n)
	}
}
