package proxy

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

// IsProxy says whether the GGUF file at path wants to be a proxy, which is not to
// say that it is a valid one: its adapter.type or its architecture calls it one.
// It reads only the keys, and believes no length that the file does not hold. A
// file whose keys cannot be read up to the answer is an error, because nobody can
// tell what it was.
func IsProxy(path string) (bool, error) {
	var is bool
	err := withFile(path, func(f *os.File, size int64) (err error) {
		is, err = isProxy(f, size)
		return err
	})
	return is, err
}

func isProxy(r io.Reader, size int64) (bool, error) {
	h := headerScanner{r: bufio.NewReader(r), left: uint64(size), anyFile: true}
	_, keys := h.start()
	seen := make(map[string]bool)
	for i := uint64(0); i < keys && h.err == nil; i++ {
		key := h.name("a key", seen)
		kind := h.uint32("the type of " + key)
		var want string
		switch key {
		case keyAdapterType:
			want = adapterType
		case keyArchitecture:
			want = architecture
		}
		if want == "" || kind != ggufString {
			h.value(key, kind)
			continue
		}
		n := h.uint64("the length of " + key)
		if n != uint64(len(want)) {
			h.skip(n, key)
		} else if string(h.bytes(n, key)) == want {
			return true, nil
		}
	}
	return false, h.err
}

// Header is what a proxy file says of itself without its weights.
type Header struct {
	Config
	// Parameters counts the weights and biases.
	Parameters int64
}

// ReadHeader reads a proxy file but its weights. What it returns passed every
// check of [Open] but those of the weights' values.
func ReadHeader(path string) (Header, error) {
	var header Header
	err := withFile(path, func(f *os.File, size int64) error {
		m, _, err := decodeHeader(f, size)
		if err != nil {
			return err
		}
		header = Header{Config: m.Config, Parameters: m.Parameters()}
		return nil
	})
	return header, err
}

// withFile opens the regular file at path for read. Errors name the file.
func withFile(path string, read func(f *os.File, size int64) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("proxy: open: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("proxy: open: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("proxy: open %s: not a regular file", path)
	}
	if err := read(f, info.Size()); err != nil {
		return fmt.Errorf("proxy: open %s: %w", path, err)
	}
	return nil
}
