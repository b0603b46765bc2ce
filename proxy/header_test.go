package proxy

import (
	"bytes"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func writeBytes(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestIsProxy(t *testing.T) {
	gguf := func(keys uint64, values ...any) []byte {
		b := header(3, 0, keys)
		put(b, values...)
		return b.Bytes()
	}
	text := uint32(ggufString)
	whole := fileOf(t, newModel(t, testConfig(), 1))
	tests := map[string]struct {
		file []byte
		want bool
		err  string // part of it; "" is no error
	}{
		"a proxy":                      {file: whole, want: true},
		"a proxy without its weights":  {file: whole[:len(whole)-400], want: true},
		"the answer, then damage":      {file: gguf(1<<60, keyAdapterType, text, "proxy", "k", uint32(99)), want: true},
		"architecture says enough":     {file: gguf(1, keyArchitecture, text, "proxy_rlhf"), want: true},
		"either says enough":           {file: gguf(2, keyAdapterType, text, "lora", keyArchitecture, text, "proxy_rlhf"), want: true},
		"a LoRA":                       {file: gguf(2, keyArchitecture, text, "llama", keyAdapterType, text, "lora")},
		"a type of the same length":    {file: gguf(1, keyAdapterType, text, "prosy")},
		"a type that is no text":       {file: gguf(1, keyAdapterType, uint32(ggufUint32), uint32(5))},
		"a reward":                     {file: gguf(1, keyArchitecture, text, "proxy_rlhf_reward")},
		"no keys":                      {file: gguf(0)},
		"more than a proxy may have":   {file: gguf(2, "tokens", uint32(ggufArray), uint32(0), uint64(70000), make([]byte, 70000), keyAdapterType, text, "proxy"), want: true},
		"a LoRA with long text":        {file: gguf(1, "license", text, strings.Repeat("a", maxStringLength+1))},
		"many tensors":                 {file: header(3, 1<<40, 0).Bytes()},
		"empty":                        {file: nil, err: "cut short at GGUF's magic number"},
		"no GGUF":                      {file: []byte("this is no GGUF file"), err: "not a GGUF file"},
		"cut before the answer":        {file: whole[:30], err: "cut short"},
		"endless keys":                 {file: header(3, 0, 1<<60).Bytes(), err: "cut short at the length of a key"},
		"endless text":                 {file: gguf(1, "k", text, uint64(math.MaxUint64)), err: "cut short at k"},
		"endless adapter type":         {file: gguf(1, keyAdapterType, text, uint64(math.MaxUint64)), err: "cut short at adapter.type"},
		"endless array":                {file: gguf(1, "k", uint32(ggufArray), uint32(10), uint64(math.MaxUint64)), err: "cut short at k"},
		"an array that overflows to 0": {file: gguf(1, "k", uint32(ggufArray), uint32(10), uint64(1)<<61), err: "cut short at k"},
		"endless array of text":        {file: gguf(1, "k", uint32(ggufArray), text, uint64(math.MaxUint64), "a"), err: "cut short at the length of k"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := writeBytes(t, test.file)
			got, err := IsProxy(path)
			if got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
			switch {
			case test.err == "" && err != nil:
				t.Errorf("error %v", err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), path)):
				t.Errorf("error %v, want one with %q and the path", err, test.err)
			}
		})
	}
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		if is, err := IsProxy(path); is || err == nil {
			t.Errorf("%s: %t, %v", path, is, err)
		}
	}
}

func TestReadHeader(t *testing.T) {
	m := withNorm(newModel(t, testConfig(), 1), rand.New(rand.NewPCG(2, 2)))
	whole := fileOf(t, m)
	got, err := ReadHeader(writeBytes(t, whole))
	if err != nil {
		t.Fatal(err)
	}
	// 12 → 10 → 7 → 2 with the norm's 2 × 12.
	want := Header{Config: m.Config, Parameters: 12*10 + 10 + 10*7 + 7 + 7*2 + 2 + 24}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want −, got +\n%s", d)
	}
	if n := m.Parameters(); n != want.Parameters || m.Bytes() != 4*n {
		t.Errorf("the model counts %d parameters and %d bytes", n, m.Bytes())
	}

	// The weights are not its business, everything else is.
	nan := bytes.Clone(whole)
	copy(nan[len(nan)-4:], []byte{0, 0, 0xc0, 0x7f})
	if _, err := ReadHeader(writeBytes(t, nan)); err != nil {
		t.Errorf("a NaN weight: %v", err)
	}
	if _, err := Open(writeBytes(t, nan)); err == nil {
		t.Error("Open takes a NaN weight")
	}
	if _, err := ReadHeader(writeBytes(t, whole[:len(whole)-4])); err == nil {
		t.Error("a file cut short is read")
	}
	for name, test := range refusals {
		f := rawFileOf(t, newModel(t, testConfig(), 1))
		test.damage(f)
		path := writeBytes(t, f.bytes(t))
		_, ofWeights := Open(path)
		if _, err := ReadHeader(path); err == nil && !strings.Contains(ofWeights.Error(), "finite numbers") {
			t.Errorf("%s: read, although Open says %v", name, ofWeights)
		}
	}
}
