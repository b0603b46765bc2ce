package proxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ollama/ollama/fs/ggml"
)

// Limits of a header. GGUF's own limit for keys is 65,535 bytes.
const (
	maxKeys         = 4096
	maxKeyLength    = 1024
	maxStringLength = 1 << 20
	maxArrayLength  = 1 << 16
	maxTensors      = 2*(maxHiddenLayers+1) + 2 // weight and bias, with the norm's
)

// GGUF's value types, and the bytes that one value takes; strings and arrays
// have no fixed size.
const (
	ggufUint32 = 4
	ggufString = 8
	ggufArray  = 9
)

var ggufSize = [...]uint64{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}

// preflight walks over a GGUF header without keeping it and makes sure that
// decoding it is harmless. fs/ggml believes every count and length that it
// reads: a damaged file can make it allocate without bound, panic, or loop for
// ever at the end of the file. What passes here holds no length beyond the file.
//
// It returns the alignment of the tensor data.
func preflight(r io.Reader, size int64) (alignment int64, err error) {
	h := headerScanner{r: bufio.NewReader(r), left: uint64(size), alignment: 32}
	tensors, keys := h.start()
	seen := make(map[string]bool)
	for i := uint64(0); i < keys && h.err == nil; i++ {
		h.keyValue(seen)
	}
	clear(seen)
	for i := uint64(0); i < tensors && h.err == nil; i++ {
		h.tensor(seen)
	}
	return h.alignment, h.err
}

// headerScanner reads forward, counts what is left of the file, and keeps the
// first error.
type headerScanner struct {
	r         *bufio.Reader
	left      uint64
	alignment int64
	// anyFile leaves out the limits that only proxies have, where values are
	// skipped and not kept: the file's size alone bounds them.
	anyFile bool
	err     error
}

func (h *headerScanner) fail(err error) {
	if h.err == nil {
		h.err = err
	}
}

// take says whether n more bytes, of what is named, can be there.
func (h *headerScanner) take(n uint64, what string) bool {
	if h.err == nil && n > h.left {
		h.fail(fmt.Errorf("the header is cut short at %s: %d bytes are left, want %d: copy or export the file again", what, h.left, n))
	}
	if h.err != nil {
		return false
	}
	h.left -= n
	return true
}

func (h *headerScanner) bytes(n uint64, what string) []byte {
	if !h.take(n, what) {
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(h.r, b); err != nil {
		h.fail(fmt.Errorf("reading %s: %w", what, err))
		return nil
	}
	return b
}

func (h *headerScanner) skip(n uint64, what string) {
	if !h.take(n, what) {
		return
	}
	if _, err := io.CopyN(io.Discard, h.r, int64(n)); err != nil {
		h.fail(fmt.Errorf("reading %s: %w", what, err))
	}
}

func (h *headerScanner) uint32(what string) uint32 {
	if b := h.bytes(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (h *headerScanner) uint64(what string) uint64 {
	if b := h.bytes(8, what); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// name reads a key or a tensor's name, of which there may be one each.
func (h *headerScanner) name(what string, seen map[string]bool) string {
	n := h.uint64("the length of " + what)
	if h.err == nil && (n == 0 || n > maxKeyLength) {
		h.fail(fmt.Errorf("%s is %d bytes long, want 1 to %d", what, n, maxKeyLength))
	}
	if h.err != nil {
		return ""
	}
	s := string(h.bytes(n, what))
	if h.err == nil && seen[s] {
		h.fail(fieldErrorf(strings.ToValidUTF8(s, "�"), "is there twice"))
	}
	seen[s] = true
	return s
}

// start reads what comes before the first key.
func (h *headerScanner) start() (tensors, keys uint64) {
	magic := h.bytes(4, "GGUF's magic number")
	if h.err == nil && string(magic) != "GGUF" {
		h.fail(errors.New("it does not begin with GGUF: this is not a GGUF file"))
	}
	// Version 1 is of 2023 and counts in 32 bits; nothing that writes proxies
	// writes it. A big-endian file shows here as a version in the millions.
	if v := h.uint32("GGUF's version"); h.err == nil && v != 2 && v != 3 {
		h.fail(fmt.Errorf("GGUF version %d (as little-endian), want 2 or 3", v))
	}
	tensors = h.uint64("the number of tensors")
	keys = h.uint64("the number of keys")
	if h.err == nil && !h.anyFile && (tensors > maxTensors || keys > maxKeys) {
		h.fail(fmt.Errorf("%d tensors and %d keys, want %d and %d at most", tensors, keys, maxTensors, maxKeys))
	}
	return tensors, keys
}

func (h *headerScanner) keyValue(seen map[string]bool) {
	key := h.name("a key", seen)
	kind := h.uint32("the type of " + key)
	if key != "general.alignment" {
		h.value(key, kind)
		return
	}
	if kind != ggufUint32 && h.err == nil {
		h.fail(fieldErrorf(key, "has GGUF type %d, want a uint32", kind))
	}
	a := h.uint32(key)
	if h.err == nil && (a == 0 || a&(a-1) != 0 || a > 1<<16) {
		h.fail(fieldErrorf(key, "is %d, want a power of two up to %d", a, 1<<16))
	}
	h.alignment = int64(a)
}

func (h *headerScanner) value(key string, kind uint32) {
	switch {
	case h.err != nil:
	case kind == ggufString:
		h.text(key)
	case kind == ggufArray:
		h.array(key)
	case uint64(kind) < uint64(len(ggufSize)):
		h.skip(ggufSize[kind], key)
	default:
		h.fail(fieldErrorf(key, "has GGUF type %d, which does not exist", kind))
	}
}

func (h *headerScanner) text(key string) {
	n := h.uint64("the length of " + key)
	if n > maxStringLength && !h.anyFile {
		h.fail(fieldErrorf(key, "is %d bytes long, want %d at most", n, maxStringLength))
	}
	h.skip(n, key)
}

func (h *headerScanner) array(key string) {
	kind := h.uint32("the type of " + key)
	n := h.uint64("the length of " + key)
	switch {
	case h.err != nil:
	case n > maxArrayLength && !h.anyFile:
		h.fail(fieldErrorf(key, "has %d elements, want %d at most", n, maxArrayLength))
	case kind == ggufArray || uint64(kind) >= uint64(len(ggufSize)):
		h.fail(fieldErrorf(key, "is an array of GGUF type %d, want numbers, bools or strings", kind))
	case kind == ggufString:
		for i := uint64(0); i < n && h.err == nil; i++ {
			h.text(key)
		}
	default:
		h.skip(min(n, h.left+1)*ggufSize[kind], key) // min: no overflow
	}
}

// tensor checks one tensor's description: its type, and that its size is a
// number. Whether it lies within the file is for the reader of the data.
func (h *headerScanner) tensor(seen map[string]bool) {
	name := h.name("a tensor's name", seen)
	dims := h.uint32("the dimensions of " + name)
	if h.err == nil && (dims < 1 || dims > 4) {
		h.fail(fieldErrorf(name, "has %d dimensions, want 1 or 2", dims))
	}
	for i := uint32(0); i < dims && h.err == nil; i++ {
		n := h.uint64("the shape of " + name)
		if h.err == nil && (n < 1 || n > 2*maxWidth) {
			h.fail(fieldErrorf(name, "has a side of %d, want 1 to %d", n, 2*maxWidth))
		}
	}
	kind := ggml.TensorType(h.uint32("the type of " + name))
	if h.err == nil && kind != ggml.TensorTypeF32 && kind != ggml.TensorTypeF16 {
		h.fail(fieldErrorf(name, "has type %v (%d), want F32 or F16: export the proxy without quantisation", kind, uint32(kind)))
	}
	h.skip(8, "the offset of "+name)
}
