package proxy

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"

	"github.com/ollama/ollama/fs/ggml"
	"github.com/x448/float16"
)

// Open reads the proxy file at path. The error of a file that is not a valid
// proxy names the file and, as a [FieldError], the key or tensor.
func Open(path string) (*Model, error) {
	var m *Model
	err := withFile(path, func(f *os.File, size int64) (err error) {
		m, err = decode(f, size)
		return err
	})
	return m, err
}

// Decode reads a proxy file of the given size in bytes, which must be all that rs
// holds. Tensors may be F32 or F16; in memory they are float32. Keys that the
// format does not know are ignored, tensors are not.
//
// The file need not be trusted: nothing is allocated for a count that the file
// does not hold, and the memory taken is a small multiple of size. The model that
// is returned is valid in the sense of [Model.Validate]. If it is not, the error
// names the key or tensor as a [FieldError].
func Decode(rs io.ReadSeeker, size int64) (*Model, error) {
	m, err := decode(rs, size)
	if err != nil {
		return nil, fmt.Errorf("proxy: decode: %w", err)
	}
	return m, nil
}

func decode(rs io.ReadSeeker, size int64) (*Model, error) {
	m, stored, err := decodeHeader(rs, size)
	if err != nil {
		return nil, err
	}
	if err := m.load(rs, stored); err != nil {
		return nil, err
	}
	return m, nil
}

// decodeHeader reads all but the weights: the model that it returns has none yet,
// and stored says where they are.
func decodeHeader(rs io.ReadSeeker, size int64) (m *Model, stored map[string]storedTensor, err error) {
	end, err := rs.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, nil, err
	}
	if end != size {
		return nil, nil, fmt.Errorf("the file has %d bytes, want %d", end, size)
	}
	if _, err := rs.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	alignment, err := preflight(rs, size)
	if err != nil {
		return nil, nil, err
	}
	g, err := decodeGGUF(rs)
	if err != nil {
		return nil, nil, err
	}
	config, err := configFromMetadata(g.KV())
	if err != nil {
		return nil, nil, err
	}
	if err := config.Validate(); err != nil {
		return nil, nil, err
	}
	stored, err = locateTensors(g.Tensors(), alignment, size)
	if err != nil {
		return nil, nil, err
	}
	m = shapeModel(config, stored)
	return m, stored, checkTensors(m, stored)
}

// decodeGGUF has fs/ggml decode the header that preflight has walked over. A
// panic would be an error in one of the two; it must not take the server down.
func decodeGGUF(rs io.ReadSeeker) (g *ggml.GGML, err error) {
	defer func() {
		if p := recover(); p != nil {
			g, err = nil, fmt.Errorf("the GGUF header is damaged: %v", p)
		}
	}()
	if _, err := rs.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	g, err = ggml.Decode(rs, maxArrayLength)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the header is cut short: %w", err)
	}
	return g, err
}

// storedTensor is one tensor's place in the file.
type storedTensor struct {
	shape  []int // outermost first, other than in GGUF
	kind   ggml.TensorType
	offset int64 // from the beginning of the file
}

// elementSize returns the bytes that one number takes.
func (t storedTensor) elementSize() int64 {
	if t.kind == ggml.TensorTypeF16 {
		return 2
	}
	return 4
}

// locateTensors checks that the tensors' data follow each other as GGUF wants
// it, aligned, without gaps, up to the end of the file.
func locateTensors(ts ggml.Tensors, alignment, size int64) (map[string]storedTensor, error) {
	items := slices.Clone(ts.Items())
	slices.SortStableFunc(items, func(a, b *ggml.Tensor) int { return cmp.Compare(a.Offset, b.Offset) })

	stored := make(map[string]storedTensor, len(items))
	start := int64(ts.Offset)
	next := start
	end := start
	for _, item := range items {
		if item.Offset != uint64(next-start) {
			return nil, fieldErrorf(item.Name, "lies at offset %d, want %d: tensors follow each other without gaps", item.Offset, next-start)
		}
		t := storedTensor{kind: ggml.TensorType(item.Kind), offset: next}
		bytes := t.elementSize()
		for _, n := range slices.Backward(item.Shape) {
			t.shape = append(t.shape, int(n))
			// Sides are bounded by preflight and the product by the file, so that
			// it cannot overflow.
			bytes *= int64(n)
			if bytes > size-next {
				return nil, fieldErrorf(item.Name, "takes more than the %d bytes that are left of the file: it is cut short, or the shape is wrong", max(0, size-next))
			}
		}
		stored[item.Name] = t
		end = next + bytes
		next = (end-start+alignment-1)/alignment*alignment + start
	}
	if size > next { // the last tensor may be padded
		return nil, fmt.Errorf("%d bytes follow the last tensor, want none: the file is not what its header says", size-end)
	}
	return stored, nil
}

// shapeModel makes the model that the configuration asks for, without weights.
func shapeModel(c Config, stored map[string]storedTensor) *Model {
	m := &Model{Config: c}
	for _, size := range c.layerSizes() {
		m.Layers = append(m.Layers, Linear{In: size.in, Out: size.out})
	}
	_, hasWeight := stored[normWeightName]
	_, hasBias := stored[normBiasName]
	if hasWeight || hasBias {
		m.Norm = &Norm{}
	}
	return m
}

// load reads the weights.
func (m *Model) load(rs io.ReadSeeker, stored map[string]storedTensor) error {
	var err error
	load := func(name string) []float32 {
		if err != nil {
			return nil
		}
		var values []float32
		values, err = readTensor(rs, name, stored[name])
		return values
	}
	if m.Norm != nil {
		m.Norm.Weight = load(normWeightName)
		m.Norm.Bias = load(normBiasName)
	}
	for i := range m.Layers {
		m.Layers[i].Weight = load(weightName(i))
		m.Layers[i].Bias = load(biasName(i))
	}
	return err
}

// checkTensors compares the file's tensors to those that m should have, by name
// and shape, before any of them is read.
func checkTensors(m *Model, stored map[string]storedTensor) error {
	unknown := maps.Clone(stored)
	for _, t := range m.tensors() {
		s, ok := stored[t.name]
		if !ok {
			return fieldErrorf(t.name, "is missing, want a tensor of %s", shapeString(t.shape))
		}
		if !slices.Equal(s.shape, t.shape) {
			return fieldErrorf(t.name, "is %s, want %s (outputs first) as %s, %s and %s say", shapeString(s.shape), shapeString(t.shape), keyFeatures, keyEmbeddingLength, keyFeedForwardLength)
		}
		delete(unknown, t.name)
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		return fieldErrorf(name, "is no tensor of a proxy with %d linear layers", len(m.Layers))
	}
	return nil
}

// readTensor reads one tensor, F32 or F16, and refuses NaN and infinity.
func readTensor(rs io.ReadSeeker, name string, t storedTensor) ([]float32, error) {
	if _, err := rs.Seek(t.offset, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	n := 1
	for _, side := range t.shape {
		n *= side
	}
	values := make([]float32, n)
	size := int(t.elementSize())
	buffer := make([]byte, min(64<<10, n*size))
	for done := 0; done < n; {
		chunk := buffer[:min(len(buffer), (n-done)*size)]
		if _, err := io.ReadFull(rs, chunk); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		decodeFloats(values[done:done+len(chunk)/size], chunk)
		done += len(chunk) / size
	}
	for i, v := range values {
		if !finite(v) {
			return nil, fieldErrorf(name, "is %v at index %d, want finite numbers: the training diverged, or the file is damaged", v, i)
		}
	}
	return values, nil
}

// decodeFloats decodes little-endian numbers; their width follows from the two
// lengths.
func decodeFloats(dst []float32, src []byte) {
	if len(src) == 2*len(dst) {
		for i := range dst {
			dst[i] = float16.Frombits(binary.LittleEndian.Uint16(src[2*i:])).Float32()
		}
		return
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}
