package pytorch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// archiveOf makes a .pth file of a pickle and storages. method is how they are stored.
func archiveOf(t testing.TB, method uint16, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "actor/" + name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tensorPickle is a dictionary of one tensor "w" in storage 0, as torch.save writes it.
func tensorPickle(class string, count, first, rows, stride byte) string {
	return "\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n" + class +
		"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK" + string(count) + "tQK" + string(first) + "K" + string(rows) + "\x85K" + string(stride) +
		"\x85\x89ccollections\nOrderedDict\n)RtRs."
}

// safetensorsOf makes a .safetensors file.
func safetensorsOf(header, data string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header+data...)
}

func TestTensors(t *testing.T) {
	type listed struct {
		Name, DType, Shape string
	}
	list := func(data []byte) (out []listed) {
		t.Helper()
		tensors, _, err := read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, tensor := range tensors {
			out = append(out, listed{tensor.Name, tensor.DType, tensor.shape()})
		}
		return out
	}
	if d := cmp.Diff([]listed{
		{"actor.0.weight", "float16", "8"}, {"actor.0.bias", "float16", "8"}, {"actor.1.weight", "float16", "6 × 8"}, {"actor.1.bias", "float16", "6"},
		{"actor.3.weight", "float16", "2 × 6"}, {"actor.3.bias", "float16", "2"},
		{"critic.0.weight", "float32", "8"}, {"critic.0.bias", "float32", "8"}, {"critic.1.weight", "float32", "6 × 8"}, {"critic.1.bias", "float32", "6"},
		{"critic.3.weight", "float32", "2 × 6"}, {"critic.3.bias", "float32", "2"},
	}, list(fixture(t, "checkpoint.pt"))); d != "" {
		t.Errorf("checkpoint.pt −want +got\n%s", d)
	}
	if d := cmp.Diff([]listed{{"w", "int64", "2"}}, list(archiveOf(t, zip.Store, map[string]string{
		"data.pkl": tensorPickle("LongStorage", 2, 0, 2, 1), "data/0": strings.Repeat("\x00", 16),
	}))); d != "" {
		t.Errorf("integers −want +got\n%s", d)
	}
}

func TestReadErrors(t *testing.T) {
	published, module := fixture(t, "published.pth"), fixture(t, "module.pth")
	tensor := tensorPickle("FloatStorage", 2, 0, 2, 1)
	for _, tc := range []struct {
		name string
		in   []byte
		want string
	}{
		{"empty", nil, "0 bytes are neither"},
		{"text", []byte("not a file of tensors"), "neither a .pth nor a .safetensors file"},
		{"a proxy", []byte("GGUF\x03\x00\x00\x00\x00\x00"), "a GGUF file: if it is a proxy already"},
		{"before PyTorch 1.6", fixture(t, "old.pth"), "PyTorch before 1.6: torch.load it and torch.save it again"},
		{"a module", module, `it holds a "torch.nn.modules.container.Sequential", which only Python can load: save the state_dict alone`},
		{"cut", published[:len(published)-9], "cut short, or damaged"},
		{"another ZIP file", archiveOf(t, zip.Store, map[string]string{"a": "b"}), "without data.pkl"},
		{"TorchScript", archiveOf(t, zip.Store, map[string]string{"data.pkl": tensor, "constants.pkl": "x"}), "a TorchScript module"},
		{"compressed", archiveOf(t, zip.Deflate, map[string]string{"data.pkl": tensor + strings.Repeat(" ", 99)}), "data.pkl is compressed"},
		{"big-endian", archiveOf(t, zip.Store, map[string]string{"data.pkl": tensor, "byteorder": "big"}), `byte order is "big"`},
		{"no storage", archiveOf(t, zip.Store, map[string]string{"data.pkl": tensor}), `storage "0" of 2 elements is not in the file`},
		{"a short storage", archiveOf(t, zip.Store, map[string]string{"data.pkl": tensor, "data/0": "1234567"}), `storage "0" has 7 bytes, too few for 2 numbers of float32`},
		{"beyond its storage", archiveOf(t, zip.Store, map[string]string{"data.pkl": tensorPickle("FloatStorage", 2, 1, 2, 1), "data/0": "12345678"}), "from element 1 on in a storage of 2"},
		{"longer than its storage", archiveOf(t, zip.Store, map[string]string{"data.pkl": tensorPickle("FloatStorage", 2, 0, 3, 0), "data/0": "12345678"}), "of shape [3] in a storage of 2"},
		{"a call", archiveOf(t, zip.Store, map[string]string{"data.pkl": "cos\nsystem\n(X\x02\x00\x00\x00lstR."}), `it holds a "os.system"`},
		{"a call by another way", archiveOf(t, zip.Store, map[string]string{"data.pkl": "(X\x02\x00\x00\x00lsios\nsystem\n."}), "uses opcode 0x69"},
		{"a length beyond its end", archiveOf(t, zip.Store, map[string]string{"data.pkl": "X\xff\xff\xff\xff."}), "its pickle is cut short"},
		{"no end", archiveOf(t, zip.Store, map[string]string{"data.pkl": "N"}), "its pickle has no end"},
		{"an empty stack", archiveOf(t, zip.Store, map[string]string{"data.pkl": "a."}), "its pickle is damaged"},
		{"a dictionary in itself", archiveOf(t, zip.Store, map[string]string{"data.pkl": "}q\x00X\x01\x00\x00\x00ah\x00s."}), "this is no actor"},

		{"no header", safetensorsOf("", "12"), "would have 0 bytes"},
		{"a header that is not JSON", safetensorsOf("[1]", ""), "its header is not JSON"},
		{"an entry of another kind", safetensorsOf(`{"w":3}`, ""), `tensor "w": its entry is not understood`},
		{"beyond the end", safetensorsOf(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, "1234"), `tensor "w": it lies at bytes 0 to 8 of 4: the file is cut short`},
		{"backwards", safetensorsOf(`{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, "12345678"), `tensor "w": it lies at bytes 8 to 0`},
		{"another size", safetensorsOf(`{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, "12345678"), `tensor "w": it is 3 of float32, but has 8 bytes`},
		{"a shape that overflows", safetensorsOf(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, ""), `tensor "w"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "actor")
			if err := os.WriteFile(path, tc.in, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line of %s with %q", err, path, tc.want)
			}
		})
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestValueErrors(t *testing.T) {
	for _, tc := range []struct{ name, header, data, want string }{
		{"integers", `{"w":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}`, "1234", "w has type I32, want float32, float16, bfloat16 or float64"},
		{"NaN", `{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}`, "\x00\x00\xc0\x7f", "w is NaN at index 1"},
		{"infinity", `{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}`, "\x00\xfc", "w is -Inf at index 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data := safetensorsOf(tc.header, tc.data)
			tensors, _, err := read(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tensors[0].Values(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// Whatever the bytes are, there is an answer, and what is imported is a valid proxy.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"published.pth", "checkpoint.pt", "views.pt", "named.safetensors", "deep.safetensors", "module.pth"} {
		f.Add(fixture(f, name))
	}
	f.Add(archiveOf(f, zip.Store, map[string]string{"data.pkl": tensorPickle("FloatStorage", 2, 0, 2, 1), "data/0": "12345678"}))
	f.Add(safetensorsOf(`{"weight":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}`, "12345678"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, ordered, err := read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, tensor := range tensors {
			values, err := tensor.Values()
			if n, _ := elements(tensor.Shape); err == nil && len(values) != n {
				t.Fatalf("%d values of %s", len(values), tensor.shape())
			}
		}
		m, err := Import(&File{Tensors: tensors, Ordered: ordered}, Options{}, configOf(8))
		if err == nil && m.Validate() != nil {
			t.Fatalf("imported an invalid proxy: %v", m.Validate())
		}
	})
}

// FuzzPickle reaches what archives protect with checksums: a pickle that passes the check is decoded without harm.
func FuzzPickle(f *testing.F) {
	f.Add([]byte(tensorPickle("FloatStorage", 2, 0, 2, 1)))
	f.Add([]byte("}q\x00X\x01\x00\x00\x00ah\x00s."))
	for _, name := range []string{"published.pth", "checkpoint.pt", "views.pt"} {
		data := fixture(f, name)
		a, err := openArchive(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			f.Fatal(err)
		}
		p, err := a.pickle()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	data := fixture(f, "published.pth")
	f.Fuzz(func(t *testing.T, p []byte) {
		if checkPickle(p) != nil {
			return
		}
		a, err := openArchive(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		root, err := a.load(p)
		if err != nil {
			return
		}
		w := walker{}
		if err := w.walk("", root, 0); err != nil {
			return
		}
		for _, tensor := range w.tensors {
			values, err := tensor.Values()
			if n, ok := elements(tensor.Shape); err == nil && (!ok || len(values) != n) {
				t.Fatalf("%d values of %s", len(values), tensor.shape())
			}
		}
	})
}
