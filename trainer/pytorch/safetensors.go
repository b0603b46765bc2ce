package pytorch

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// maxHeader bounds the header of a safetensors file, as its own library does.
const maxHeader = 100 << 20

// safeTypes are the format's names of types. Others stand as they are.
var safeTypes = map[string]string{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}

// readSafetensors reads the header: its length in eight bytes, then JSON with
// each tensor's type, shape, and place behind the header. Its caller has seen
// that the length lies within the file.
func readSafetensors(r io.ReaderAt, size int64) ([]Tensor, error) {
	var prefix [8]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint64(prefix[:]))
	if length < 2 || length > maxHeader || length > size-8 {
		return nil, fmt.Errorf("the header of a .safetensors file would have %d bytes: it is another kind of file, or damaged", length)
	}
	header := make([]byte, length)
	if _, err := r.ReadAt(header, 8); err != nil {
		return nil, err
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(header, &entries); err != nil {
		return nil, fmt.Errorf("neither a .pth nor a .safetensors file: its header is not JSON: %w", err)
	}
	data := io.NewSectionReader(r, 8+length, size-8-length)
	var tensors []Tensor
	for name, raw := range entries {
		if name == "__metadata__" {
			continue
		}
		t, err := safeTensor(name, raw, data)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors = append(tensors, t)
	}
	slices.SortFunc(tensors, func(a, b Tensor) int { return cmp.Compare(a.Name, b.Name) })
	return tensors, nil
}

func safeTensor(name string, raw json.RawMessage, data *io.SectionReader) (Tensor, error) {
	var e struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return Tensor{}, fmt.Errorf("its entry is not understood: %w", err)
	}
	begin, end := e.Offsets[0], e.Offsets[1]
	if begin < 0 || end < begin || end > data.Size() {
		return Tensor{}, fmt.Errorf("it lies at bytes %d to %d of %d: the file is cut short, or damaged", begin, end, data.Size())
	}
	t := Tensor{Name: name, Shape: e.Shape, DType: cmp.Or(safeTypes[e.DType], e.DType), data: io.NewSectionReader(data, begin, end-begin)}
	n, ok := elements(t.Shape)
	if kind, known := dtypes[t.DType]; !ok || known && int64(n)*int64(kind.size) != end-begin {
		return Tensor{}, fmt.Errorf("it is %s of %s, but has %d bytes", t.shape(), t.DType, end-begin)
	}
	return t, nil
}
