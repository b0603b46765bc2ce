package pytorch

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

func configOf(embeddingLength int) proxy.Config {
	return proxy.Config{EmbeddingLength: embeddingLength, Activation: proxy.ReLU, Pool: sampler.DefaultOptions(), Cutoff: proxy.DefaultCutoff}
}

func open(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Imported actors say what PyTorch says of them (testdata/write_actors.py).
func TestImport(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		File            string
		EmbeddingLength int              `json:"embedding_length"`
		AcceptAction    int              `json:"accept_action"`
		Prefix          string           `json:"prefix"`
		Activation      proxy.Activation `json:"activation"`
		Features        [][]float64
		Accept          []float64
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, tc := range cases {
		t.Run(tc.File, func(t *testing.T) {
			c := configOf(tc.EmbeddingLength)
			if tc.Activation != "" {
				c.Activation = tc.Activation
			}
			m, err := Import(open(t, filepath.Join("testdata", tc.File)), Options{Prefix: tc.Prefix, AcceptAction: tc.AcceptAction}, c)
			if err != nil {
				t.Fatal(err)
			}
			for i, features := range tc.Features {
				if got, want := m.Accept(features), tc.Accept[i]; math.Abs(got-want) > 1e-9 {
					t.Errorf("pi(accept) of features %d is %v, want %v", i, got, want)
				}
			}
			other, err := Import(open(t, filepath.Join("testdata", tc.File)), Options{Prefix: tc.Prefix, AcceptAction: 1 - tc.AcceptAction}, c)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := other.Accept(tc.Features[0]), 1-tc.Accept[0]; math.Abs(got-want) > 1e-9 {
				t.Errorf("with the other order of actions: %v, want %v", got, want)
			}
			path := filepath.Join(t.TempDir(), "proxy.gguf")
			if err := m.WriteFile(path); err != nil {
				t.Fatal(err)
			}
			if _, err := proxy.Open(path); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestImportedShape(t *testing.T) {
	m, err := Import(open(t, filepath.Join("testdata", "published.pth")), Options{AcceptAction: 1}, configOf(4))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]any{proxy.Prefix, []int{16, 4}, 8}, []any{m.Features, m.FeedForwardLength, len(m.Norm.Weight)}); d != "" {
		t.Errorf("for a model with d 4 −want +got\n%s", d)
	}
}

func TestImportErrors(t *testing.T) {
	for _, tc := range []struct {
		name, file string
		o          Options
		change     func(*proxy.Config)
		want       string
	}{
		{"no such action", "published.pth", Options{AcceptAction: 2}, nil, "accept action is 2, want 0 (as in the paper) or 1"},
		{"another model", "published.pth", Options{}, func(c *proxy.Config) { c.EmbeddingLength = 5 }, "1.weight takes 8 values, want 5 (lookahead) or 10 (prefix)"},
		{"other features", "published.pth", Options{}, func(c *proxy.Config) { c.Features = proxy.Prefix }, "1.weight takes 8 values, want 16 for prefix features"},
		{"two networks", "checkpoint.pt", Options{}, nil, "set the prefix, one of actor., critic."},
		{"a prefix of nothing", "published.pth", Options{Prefix: "policy."}, nil, "no linear layer among the 8 tensors; set the prefix, one of 0., 1., 3., 5."},
		{"a layer that is not there", "published.pth", Options{Layers: []string{"1", "2"}}, nil, `no linear layer is called "2": the file has 1, 3, 5`},
		{"layers that do not fit", "published.pth", Options{Layers: []string{"3", "1"}}, nil, "1.weight takes 8 values, but 3.weight before it gives 4"},
		{"layers without the last", "published.pth", Options{Layers: []string{"1", "3"}}, nil, "the last layer, 3.weight, has 4 outputs, want 2"},
		{"a LayerNorm in the middle", "late_norm.pth", Options{}, func(c *proxy.Config) { c.EmbeddingLength = 4 }, "1.weight comes after 0.weight: a proxy's LayerNorm comes before"},
		{"an activation that no proxy has", "published.pth", Options{}, func(c *proxy.Config) { c.Activation = "gelu" }, "proxy_rlhf.activation"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := configOf(8)
			if tc.change != nil {
				tc.change(&c)
			}
			_, err := Import(open(t, filepath.Join("testdata", tc.file)), tc.o, c)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, tc.want)
			}
		})
	}
}

// weights are tensors of zeros by name, in this order.
func weights(ordered bool, named ...any) *File {
	f := &File{Ordered: ordered}
	for i := 0; i < len(named); i += 2 {
		shape := named[i+1].([]int)
		n, _ := elements(shape)
		f.Tensors = append(f.Tensors, Tensor{Name: named[i].(string), Shape: shape, DType: "float32", data: strings.NewReader(strings.Repeat("\x00", 4*n))})
	}
	return f
}

func TestLayers(t *testing.T) {
	for _, tc := range []struct {
		name string
		file *File
		o    Options
		want string // "": none
	}{
		{"a single layer", weights(false, "weight", []int{2, 4}), Options{}, ""},
		{"an order that shapes tell", weights(false, "a.weight", []int{2, 3}, "b.weight", []int{3, 4}), Options{}, ""},
		{"one that they do not", weights(false, "a.weight", []int{2, 3}, "b.weight", []int{3, 3}, "c.weight", []int{3, 4}), Options{}, "b.weight and c.weight both have 3 outputs: name the layers"},
		{"unless the user does", weights(false, "a.weight", []int{2, 3}, "b.weight", []int{3, 3}, "c.weight", []int{3, 4}), Options{Layers: []string{"c", "b", "a"}}, ""},
		{"a layer that fits nowhere", weights(true, "a.weight", []int{3, 4}, "b.weight", []int{2, 5}), Options{}, "no order of the layers fits: a.weight belongs nowhere"},
		{"a bias alone", weights(true, "a.bias", []int{2}), Options{}, "a.bias has no weight beside it"},
		{"a bias of another layer", weights(true, "a.weight", []int{2, 4}, "a.bias", []int{3}), Options{}, "a.bias is 3, want 2 values, as a.weight is 2 × 4"},
		{"a convolution", weights(true, "a.weight", []int{2, 4, 1}), Options{}, "a.weight is 2 × 4 × 1: neither"},
		{"a batch norm", weights(true, "a.running_mean", []int{4}), Options{}, "a.running_mean is neither a weight nor a bias"},
		{"one output", weights(true, "a.weight", []int{1, 4}), Options{}, "a.weight belongs nowhere; in the order that they are in, the last layer, a.weight, has 1 outputs, want 2"},
		{"two norms", weights(true, "n.weight", []int{4}, "m.weight", []int{4}, "a.weight", []int{2, 4}), Options{}, "m.weight is a second LayerNorm beside n.weight"},
		{"a norm of another size", weights(true, "n.weight", []int{3}, "a.weight", []int{2, 4}), Options{}, "n.weight has 3 values, but the first linear layer, a.weight, takes 4"},
		{"a norm whose name comes later", weights(false, "a.weight", []int{2, 4}, "n.weight", []int{4}), Options{}, ""},
		{"a norm whose place comes later", weights(false, "0.weight", []int{2, 4}, "1.weight", []int{4}), Options{}, "1.weight comes after 0.weight"},
		{"the same name twice", weights(true, "a.weight", []int{2, 4}, "a.weight", []int{2, 4}), Options{}, "a.weight is there twice"},
		{"nothing", weights(true), Options{}, "no linear layer among the 0 tensors"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Import(tc.file, tc.o, configOf(4))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestNatural(t *testing.T) {
	sorted := []string{"", "a", "a.9", "a.10", "a.010x", "b"}
	for i := range sorted {
		for j := range sorted {
			if got := natural(sorted[i], sorted[j]); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("natural(%q, %q) = %d", sorted[i], sorted[j], got)
			}
		}
	}
}
