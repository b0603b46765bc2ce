package plugin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

const (
	fakeVocab = 64
	fakeWidth = 8 // d
	fakeEnd   = 3 // the end-of-sequence token
)

// fakeLLM is a language model whose logits and hidden state are a pseudo-random function of the tokens before them.
type fakeLLM struct {
	seed uint64
	// alter, if set, changes what the pass of these tokens gives.
	alter func(tokens []int32, logits, hidden []float32)
	// endless takes the end-of-sequence token out of the running.
	endless bool
	// vocab and width are other sizes than fakeVocab and fakeWidth.
	vocab, width int
}

func (m fakeLLM) shape() proxy.Base {
	return proxy.Base{Architecture: "fake", EmbeddingLength: cmp.Or(m.width, fakeWidth), VocabSize: cmp.Or(m.vocab, fakeVocab)}
}

func (m fakeLLM) pass(tokens []int32) (logits, hidden []float32) {
	h := uint64(14695981039346656037) // FNV-1a
	for _, token := range tokens {
		h = (h ^ uint64(token+1)) * 1099511628211
	}
	rng := rand.New(rand.NewPCG(m.seed, h))
	vocab := m.shape().VocabSize
	logits, hidden = make([]float32, vocab), make([]float32, m.shape().EmbeddingLength)
	for i := range logits {
		logits[i] = float32(2.5 * rng.NormFloat64())
	}
	logits[rng.IntN(vocab)] = logits[rng.IntN(vocab)] // ties
	if m.endless {
		logits[fakeEnd] = -1e9
	}
	for i := range hidden {
		hidden[i] = float32(1.5 * rng.NormFloat64())
	}
	if m.alter != nil {
		m.alter(tokens, logits, hidden)
	}
	return logits, hidden
}

func (m fakeLLM) embedding(token int32) []float32 {
	rng := rand.New(rand.NewPCG(m.seed+1, uint64(token)))
	row := make([]float32, m.shape().EmbeddingLength)
	for i := range row {
		row[i] = float32(rng.NormFloat64())
	}
	return row
}

func fakePiece(token int32) string { return fmt.Sprintf("<%d>", token) }

func (m fakeLLM) host() Host {
	return Host{
		Base:      m.shape(),
		CanRewind: true,
		Embedding: func(token int32, dst []float32) error {
			copy(dst, m.embedding(token))
			return nil
		},
		Piece:         fakePiece,
		EndOfSequence: func(token int32) bool { return token == fakeEnd },
	}
}

// fakeGrammar allows what allow says, and notes what it is told.
type fakeGrammar struct {
	allow    func(position int, token int32) bool
	accepted []int32
}

var _ Grammar = (*fakeGrammar)(nil)

func (g *fakeGrammar) Mask(logits []float32) {
	for i := range logits {
		if !g.allow(len(g.accepted), int32(i)) {
			logits[i] = float32(math.Inf(-1))
		}
	}
}

func (g *fakeGrammar) Accept(token int32) { g.accepted = append(g.accepted, token) }

// proxyModel makes a proxy for fakeLLM that has opinions: its last layer is enlarged, so that pi(accept) spreads over 0 to 1.
func proxyModel(t testing.TB, features proxy.Features, seed uint64, change func(*proxy.Model)) *proxy.Model {
	t.Helper()
	m, err := proxy.New(proxy.Config{
		Features:          features,
		EmbeddingLength:   fakeWidth,
		FeedForwardLength: []int{16},
		Activation:        proxy.ReLU,
		Pool:              sampler.DefaultOptions(),
		Cutoff:            proxy.DefaultCutoff,
		Base:              fakeLLM{}.shape(),
	}, rand.New(rand.NewPCG(seed, 2)))
	if err != nil {
		t.Fatal(err)
	}
	last := m.Layers[len(m.Layers)-1]
	for i := range last.Weight {
		last.Weight[i] *= 6
	}
	if change != nil {
		change(m)
	}
	return m
}

// storeProxy writes m as a blob and returns its digest and path.
func storeProxy(t testing.TB, m *proxy.Model) (digest, path string) {
	t.Helper()
	plain := filepath.Join(t.TempDir(), "proxy.gguf")
	if err := m.WriteFile(plain); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	path = filepath.Join(filepath.Dir(plain), "sha256-"+name)
	if err := os.Rename(plain, path); err != nil {
		t.Fatal(err)
	}
	return "sha256:" + name, path
}

// runnerOf makes a runner of the LLM with m as its own proxy.
func runnerOf(t testing.TB, llm fakeLLM, m *proxy.Model) *Runner {
	t.Helper()
	_, path := storeProxy(t, m)
	r, err := NewRunner(llm.host(), path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func gateOf(t testing.TB, r *Runner, req wire.Request, o GateOptions) *Gate {
	t.Helper()
	g, err := r.Gate(&req, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// reply is what came of driving a gate.
type reply struct {
	Tokens    []int32
	Decisions []wire.Decision
	Stats     wire.Stats // without Duration
	// Passes counts the LLM's passes, the prompt's among them.
	Passes int
	// Chosen is what Logits said at every token.
	Chosen [][]float32
}

var prompt = []int32{7, 1, 12}

// drive does what the runner does: it feeds the LLM the prompt and then what the gate asks for, keeps the cache, and stops at
// the end-of-sequence token or after limit tokens. It returns the first error, or one of its own if the gate breaks its
// contract.
func drive(g *Gate, llm fakeLLM, limit int) (reply, error) {
	var out reply
	cache := slices.Clone(prompt)
	for {
		logits, hidden := llm.pass(cache)
		out.Passes++
		raw := slices.Clone(logits)
		step, err := g.Step(logits, hidden)
		if err != nil {
			return out, err
		}
		sameBits := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) } // NaN too
		if !slices.EqualFunc(raw, logits, sameBits) {
			return out, fmt.Errorf("pass %d: Step changed the logits", out.Passes)
		}
		out.Decisions = append(out.Decisions, g.TakeDecisions()...)
		switch {
		case step.Emit && step.Rewind:
			return out, fmt.Errorf("pass %d: a token is both emitted and taken back: %+v", out.Passes, step)
		case step.Rewind:
			cache = cache[:len(cache)-1]
		case step.Emit:
			out.Tokens = append(out.Tokens, step.Token)
			out.Chosen = append(out.Chosen, slices.Clone(g.Logits(logits)))
			if g.Lookahead() && cache[len(cache)-1] != step.Token {
				return out, fmt.Errorf("pass %d: token %d is emitted but %d was fed", out.Passes, step.Token, cache[len(cache)-1])
			}
			if !g.Lookahead() && step.Next != step.Token {
				return out, fmt.Errorf("pass %d: a prefix proxy feeds %d after token %d", out.Passes, step.Next, step.Token)
			}
		}
		if kept := slices.Concat(prompt, out.Tokens); !slices.Equal(cache[:min(len(cache), len(kept))], kept[:min(len(cache), len(kept))]) {
			return out, fmt.Errorf("pass %d: the cache holds %v, the reply is %v", out.Passes, cache, kept)
		}
		if step.Emit && (step.Token == fakeEnd || len(out.Tokens) == limit) {
			out.Stats = g.Stats()
			out.Stats.Duration = 0
			return out, nil
		}
		cache = append(cache, step.Next)
	}
}

func mustDrive(t testing.TB, g *Gate, llm fakeLLM, limit int) reply {
	t.Helper()
	out, err := drive(g, llm, limit)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// bothFeatures runs a test for lookahead and for prefix.
func bothFeatures(t *testing.T, test func(t *testing.T, features proxy.Features)) {
	t.Helper()
	for _, f := range []proxy.Features{proxy.Lookahead, proxy.Prefix} {
		t.Run(string(f), func(t *testing.T) { test(t, f) })
	}
}

// together runs n functions at once and waits for them.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
