package proxy

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewIsSeeded(t *testing.T) {
	a, b := newModel(t, testConfig(), 5), newModel(t, testConfig(), 5)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("one seed, two models:\n%s", diff)
	}
	if cmp.Equal(a, newModel(t, testConfig(), 6)) {
		t.Error("two seeds, one model")
	}
	if err := a.Validate(); err != nil {
		t.Error(err)
	}
}

// TestNewSpread checks the scale: uniform between ±1/sqrt(in) has that bound and
// the variance bound²/3.
func TestNewSpread(t *testing.T) {
	c := testConfig()
	c.EmbeddingLength, c.FeedForwardLength, c.Base = 200, []int{300}, Base{}
	w := newModel(t, c, 1).Layers[0].Weight
	bound := 1 / math.Sqrt(400)
	sum, largest := 0.0, 0.0
	for _, v := range w {
		sum += float64(v) * float64(v)
		largest = max(largest, math.Abs(float64(v)))
	}
	if ratio := sum / float64(len(w)) / (bound * bound / 3); !near(ratio, 1, 0.02) {
		t.Errorf("the variance is %.3f of bound²/3", ratio)
	}
	if largest > bound || largest < 0.99*bound {
		t.Errorf("the largest weight is %v, the bound %v", largest, bound)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(testConfig(), nil); err == nil {
		t.Error("made a model without a random source")
	}
	_, err := New(Config{}, rand.New(rand.NewPCG(1, 1)))
	wantFieldError(t, err, keyFeatures)
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(m *Model)
		field  string
	}{
		"no layers":         {func(m *Model) { m.Layers = nil }, keyFeedForwardLength},
		"a layer too many":  {func(m *Model) { m.Layers = append(m.Layers, Linear{}) }, keyFeedForwardLength},
		"in":                {func(m *Model) { m.Layers[1].In = 9 }, "proxy.1.weight"},
		"out":               {func(m *Model) { m.Layers[2].Out = 3 }, "proxy.2.weight"},
		"short weight":      {func(m *Model) { m.Layers[0].Weight = m.Layers[0].Weight[1:] }, "proxy.0.weight"},
		"no bias":           {func(m *Model) { m.Layers[0].Bias = nil }, "proxy.0.bias"},
		"NaN":               {func(m *Model) { m.Layers[0].Weight[3] = float32(math.NaN()) }, "proxy.0.weight"},
		"infinite":          {func(m *Model) { m.Layers[2].Bias[1] = float32(math.Inf(1)) }, "proxy.2.bias"},
		"short norm":        {func(m *Model) { m.Norm = NewNorm(3) }, "proxy.norm.weight"},
		"norm NaN":          {func(m *Model) { m.Norm = NewNorm(12); m.Norm.Bias[0] = float32(math.NaN()) }, "proxy.norm.bias"},
		"features":          {func(m *Model) { m.Features = "" }, keyFeatures},
		"p_t":               {func(m *Model) { m.Pool.PT = math.NaN() }, keyPT},
		"top_k":             {func(m *Model) { m.Pool.TopK = 1 << 40 }, keyTopK},
		"float32":           {func(m *Model) { m.Pool.Temperature = 1e300 }, keyTemperature},
		"cutoff":            {func(m *Model) { m.Cutoff = math.NaN() }, keyCutoff},
		"training type":     {func(m *Model) { m.Training["x"] = []int{1} }, trainingPrefix + "x"},
		"training infinite": {func(m *Model) { m.Training["x"] = math.Inf(1) }, trainingPrefix + "x"},
		"training overflow": {func(m *Model) { m.Training["x"] = uint64(math.MaxUint64) }, trainingPrefix + "x"},
		"training name":     {func(m *Model) { m.Training[""] = 1 }, trainingPrefix},
		"training newline":  {func(m *Model) { m.Training["a\nb"] = 1 }, trainingPrefix + "a\nb"},
		"long text":         {func(m *Model) { m.Training["x"] = strings.Repeat("x", 1<<20+1) }, trainingPrefix + "x"},
		"long digest":       {func(m *Model) { m.Base.Digest = strings.Repeat("x", 1<<20+1) }, keyBaseDigest},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, testConfig(), 1)
			test.change(m)
			wantFieldError(t, m.Validate(), test.field)
		})
	}
}

func TestBytes(t *testing.T) {
	m := newModel(t, testConfig(), 1)
	want := int64(4 * (10*12 + 10 + 7*10 + 7 + 2*7 + 2))
	if got := m.Bytes(); got != want {
		t.Errorf("Bytes() = %d, want %d", got, want)
	}
	m.Norm = NewNorm(12)
	if got := m.Bytes(); got != want+4*24 {
		t.Errorf("with a norm, Bytes() = %d, want %d", got, want+4*24)
	}
}

func TestCheckBase(t *testing.T) {
	own := testConfig().Base
	tests := map[string]struct {
		own, other Base
		warning    string
		err        []string
	}{
		"the same":             {own, own, "", nil},
		"a dash in the digest": {own, Base{"llama", 6, 100, "sha256-ABC"}, "", nil},
		"unknown digest":       {own, Base{"llama", 6, 100, ""}, "", nil},
		"another digest":       {own, Base{"llama", 6, 100, "sha256:def"}, "sha256:def", nil},
		"unknown vocabulary":   {own, Base{"llama", 6, 0, "sha256:abc"}, "", nil},
		"another architecture": {own, Base{"gemma3", 6, 100, ""}, "", []string{"llama", "gemma3"}},
		"another width":        {own, Base{"llama", 576, 100, ""}, "", []string{" 6,", " 576"}},
		"unknown width":        {own, Base{"llama", 0, 100, ""}, "", []string{" 6,", " 0"}},
		"another vocabulary":   {own, Base{"llama", 6, 101, ""}, "", []string{"100", "101"}},
		"a proxy of no LLM":    {Base{}, own, keyBaseArchitecture, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := testConfig()
			c.Base = test.own
			warning, err := newModel(t, c, 1).CheckBase(test.other)
			if (err != nil) != (test.err != nil) {
				t.Fatalf("error %v, want one with %q", err, test.err)
			}
			for _, part := range test.err {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not name %q", err, part)
				}
			}
			if (warning != "") != (test.warning != "") || !strings.Contains(warning, test.warning) {
				t.Errorf("warning %q, want one with %q", warning, test.warning)
			}
		})
	}
}
