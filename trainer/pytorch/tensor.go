package pytorch

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/x448/float16"
)

// Tensor is one tensor of a file.
type Tensor struct {
	Name  string
	Shape []int  // outermost first; none of a scalar
	DType string // such as "float32"

	data   io.ReaderAt // its elements, from the first on
	stride []int       // in elements; nil where they follow each other in rows
}

// dtypes are the types of weights: bytes of an element, and its value.
var dtypes = map[string]struct {
	size   int
	decode func([]byte) float32
}{
	"float64":  {8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }},
	"float32":  {4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }},
	"float16":  {2, func(b []byte) float32 { return float16.Frombits(binary.LittleEndian.Uint16(b)).Float32() }},
	"bfloat16": {2, func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }},
}

// maxElements bounds the values of one tensor: far above any actor's, and far
// below what Go can address.
const maxElements = 1 << 30

// elements counts the values of a shape; ok is false where no tensor can have it.
func elements(shape []int) (n int, ok bool) {
	n = 1
	for _, side := range shape {
		if side < 0 || side > maxElements {
			return 0, false
		}
		if n *= side; n > maxElements { // below 2⁶⁰: no overflow
			return 0, false
		}
	}
	return n, true
}

// Values reads the tensor, row-major, as float32. NaN and infinities are errors
// that name it.
func (t Tensor) Values() ([]float32, error) {
	kind, ok := dtypes[t.DType]
	if !ok {
		return nil, fmt.Errorf("%s has type %s, want float32, float16, bfloat16 or float64", t.Name, t.DType)
	}
	n, _ := elements(t.Shape)
	raw := make([]byte, t.span()*kind.size)
	if _, err := t.data.ReadAt(raw, 0); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", t.Name, err)
	}
	values := make([]float32, n)
	for i := range values {
		at := t.place(i) * kind.size
		values[i] = kind.decode(raw[at : at+kind.size])
		if v := values[i]; v-v != 0 {
			return nil, fmt.Errorf("%s is %v at index %d, want finite numbers", t.Name, v, i)
		}
	}
	return values, nil
}

// span is how many elements lie from the first one to the last.
func (t Tensor) span() int {
	n, _ := elements(t.Shape)
	if n == 0 {
		return 0
	}
	return t.place(n-1) + 1
}

// place is where the i-th value in rows lies, in elements from the first.
func (t Tensor) place(i int) int {
	if t.stride == nil {
		return i
	}
	at := 0
	for k := len(t.Shape) - 1; k >= 0; k-- {
		at += i % t.Shape[k] * t.stride[k]
		i /= t.Shape[k]
	}
	return at
}

// shape writes a shape as "256 × 1024".
func (t Tensor) shape() string {
	if len(t.Shape) == 0 {
		return "one number"
	}
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(t.Shape), "[]"), " ", " × ")
}
