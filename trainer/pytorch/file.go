package pytorch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// File is an open file of tensors. Close it after use.
type File struct {
	// Tensors are in the order in which they were saved, if Ordered.
	Tensors []Tensor
	// Ordered says that the file keeps the order of a module's layers, as
	// torch.save does. Safetensors sorts by name.
	Ordered bool

	file *os.File
}

// Open lists the tensors of a file, which is told by its content.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("pytorch: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	var tensors []Tensor
	var ordered bool
	if err == nil {
		tensors, ordered, err = read(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("pytorch: %s: %w", path, err)
	}
	return &File{Tensors: tensors, Ordered: ordered, file: f}, nil
}

// Close closes the file; the values of its tensors can be read no more.
func (f *File) Close() error { return f.file.Close() }

// read tells the formats apart.
func read(r io.ReaderAt, size int64) (tensors []Tensor, ordered bool, err error) {
	var head [8]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, false, fmt.Errorf("%d bytes are neither a .pth nor a .safetensors file", size)
	}
	switch {
	case string(head[:4]) == "PK\x03\x04":
		tensors, err = readTorch(r, size)
		return tensors, true, err
	case string(head[:4]) == "\x80\x02\x8a\x0a":
		return nil, false, errors.New("saved in the form of PyTorch before 1.6: torch.load it and torch.save it again")
	case string(head[:4]) == "GGUF":
		return nil, false, errors.New("a GGUF file: if it is a proxy already, there is nothing to import (see proxy-trainer inspect)")
	case int64(binary.LittleEndian.Uint64(head[:])) > size-8 || size < 10:
		return nil, false, errors.New("neither a .pth nor a .safetensors file, or one that is cut short")
	}
	tensors, err = readSafetensors(r, size)
	return tensors, false, err
}
