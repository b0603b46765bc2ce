package proxy

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/ollama/ollama/fs/ggml"
)

// GGUF is what a small GGUF file of another kind than a proxy's holds. It is read
// and written with the care that proxy files are: the file need not be trusted,
// and one that is written is there whole or not at all.
type GGUF struct {
	// Keys are the metadata: strings, bools, int64 and float64. Arrays are left
	// out. Fractions have float32's precision, as in a [Config].
	Keys map[string]any
	// Tensors have finite numbers, F32 or F16 in the file.
	Tensors map[string]Tensor
}

// Tensor is numbers in a shape, outermost side first; a matrix is out × in, as in
// [Linear].
type Tensor struct {
	Shape  []int
	Values []float32
}

// OpenGGUF reads the file at path. Errors name the file, and the key or tensor as
// a [FieldError].
func OpenGGUF(path string) (*GGUF, error) {
	var g *GGUF
	err := withFile(path, func(f *os.File, size int64) (err error) {
		g, err = DecodeGGUF(f, size)
		return err
	})
	return g, err
}

// DecodeGGUF is OpenGGUF for what rs holds, size bytes.
func DecodeGGUF(rs io.ReadSeeker, size int64) (*GGUF, error) {
	if _, err := rs.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	alignment, err := preflight(rs, size)
	if err != nil {
		return nil, err
	}
	decoded, err := decodeGGUF(rs)
	if err != nil {
		return nil, err
	}
	g := &GGUF{Keys: make(map[string]any), Tensors: make(map[string]Tensor)}
	for key, v := range decoded.KV() {
		if stored, err := trainingValue(v); err == nil {
			g.Keys[key] = stored
		}
	}
	stored, err := locateTensors(decoded.Tensors(), alignment, size)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(stored)) {
		values, err := readTensor(rs, name, stored[name])
		if err != nil {
			return nil, err
		}
		g.Tensors[name] = Tensor{Shape: stored[name].shape, Values: values}
	}
	return g, nil
}

// WriteFile writes g to path, with F32 tensors, as [Model.WriteFile] does. The
// key general.architecture must be there.
func (g *GGUF) WriteFile(path string) error {
	if err := writeAtomically(path, g.write); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func (g *GGUF) write(f *os.File) error {
	kv := make(ggml.KV, len(g.Keys))
	for key, v := range g.Keys {
		stored, err := trainingValue(v)
		if err != nil {
			return fieldErrorf(key, "%v", err)
		}
		if fraction, ok := stored.(float64); ok {
			stored = float32(fraction)
		}
		kv[key] = stored
	}
	var ts []*ggml.Tensor
	for _, name := range slices.Sorted(maps.Keys(g.Tensors)) {
		t := g.Tensors[name]
		shape := make([]uint64, 0, len(t.Shape))
		for _, n := range slices.Backward(t.Shape) { // GGUF lists the inner size first
			shape = append(shape, uint64(n))
		}
		ts = append(ts, &ggml.Tensor{Name: name, Kind: uint32(ggml.TensorTypeF32), Shape: shape, WriterTo: floatWriter(t.Values)})
	}
	return ggml.WriteGGUF(f, kv, ts)
}
