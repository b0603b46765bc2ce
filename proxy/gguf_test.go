package proxy

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func someGGUF() *GGUF {
	return &GGUF{
		Keys: map[string]any{"general.architecture": "other", "other.text": "é", "other.yes": true, "other.count": int64(-7), "other.share": 0.1},
		Tensors: map[string]Tensor{
			"a.weight": {Shape: []int{2, 3}, Values: []float32{1, 2, 3, 4, 5, 6}},
			"a.bias":   {Shape: []int{1}, Values: []float32{-0.5}},
		},
	}
}

func TestGGUFKeepsWhatItHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := someGGUF().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := OpenGGUF(path)
	if err != nil {
		t.Fatal(err)
	}
	delete(got.Keys, "general.parameter_count") // fs/ggml's own
	if d := cmp.Diff(someGGUF(), got); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
}

// Every cut is an error, and so is a byte more.
func TestGGUFRefusesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := someGGUF().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(data) {
		if n >= len(data)-32 {
			break // padding
		}
		if _, err := DecodeGGUF(bytes.NewReader(data[:n]), int64(n)); err == nil {
			t.Fatalf("no error for the first %d of %d bytes", n, len(data))
		}
	}
	longer := append(bytes.Clone(data), make([]byte, 64)...)
	if _, err := DecodeGGUF(bytes.NewReader(longer), int64(len(longer))); err == nil {
		t.Error("no error for bytes behind the last tensor")
	}
	bad := someGGUF()
	bad.Keys["other.list"] = []int{1}
	if err := bad.WriteFile(path); err == nil {
		t.Error("a list was written")
	}
}
