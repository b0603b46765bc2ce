package proxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/ollama/ollama/fs/ggml"
)

// WriteFile validates the model and writes it to path, with F32 tensors. The file
// appears whole or not at all: it is written under another name in the same
// folder, flushed to the disk, and renamed. An older file at path is replaced. The
// same model gives the same bytes.
func (m *Model) WriteFile(path string) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if err := writeAtomically(path, m.write); err != nil {
		return fmt.Errorf("proxy: write %s: %w", path, err)
	}
	return nil
}

func (m *Model) write(f *os.File) error {
	kv, err := m.Config.metadata()
	if err != nil {
		return err
	}
	var ts []*ggml.Tensor
	for _, t := range m.tensors() {
		shape := make([]uint64, 0, len(t.shape))
		for _, n := range slices.Backward(t.shape) { // GGUF lists the inner size first
			shape = append(shape, uint64(n))
		}
		ts = append(ts, &ggml.Tensor{
			Name:     t.name,
			Kind:     uint32(ggml.TensorTypeF32),
			Shape:    shape,
			WriterTo: floatWriter(t.values),
		})
	}
	return ggml.WriteGGUF(f, kv, ts)
}

// writeAtomically lets write fill a new file and puts it at path when it has
// reached the disk, name included.
func writeAtomically(path string, write func(*os.File) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close() // a second Close does no harm
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	// CreateTemp's files are for their owner alone; a proxy is no secret, and the
	// Ollama server often runs as another user.
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir flushes the folder, which holds the file's new name.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// floatWriter writes its numbers as little-endian F32.
type floatWriter []float32

var _ io.WriterTo = floatWriter(nil)

func (values floatWriter) WriteTo(w io.Writer) (written int64, err error) {
	buffer := make([]byte, 0, 64<<10)
	for chunk := range slices.Chunk(values, cap(buffer)/4) {
		buffer = buffer[:0]
		for _, v := range chunk {
			buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(v))
		}
		n, err := w.Write(buffer)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
