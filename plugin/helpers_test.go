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
		Siblings:  Siblings{Count: 1},
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
func drive(g *Gate, llm fakeLLM, limit int) (reply, error) { return batches{llm: llm}.drive(g, limit) }

// batches is how a runner feeds an LLM candidates of one position.
type batches struct {
	llm fakeLLM
	// room is how many of n candidates fit a batch; nil: all.
	room func(n int) int
	// round disturbs a pass that shares a batch with others, as another order of summation does; nil: not.
	round func(logits, hidden []float32)
}

// feed is the passes of one batch: of each candidate after the cache, or of the cache itself where there is none.
func (b batches) feed(cache, candidates []int32) []Pass {
	if len(candidates) == 0 {
		logits, hidden := b.llm.pass(cache)
		return []Pass{{logits, hidden}}
	}
	if b.room != nil {
		candidates = candidates[:b.room(len(candidates))]
	}
	var passes []Pass
	for _, c := range candidates {
		logits, hidden := b.llm.pass(append(slices.Clone(cache), c))
		if b.round != nil && len(candidates) > 1 {
			b.round(logits, hidden)
		}
		passes = append(passes, Pass{logits, hidden})
	}
	return passes
}

func (b batches) drive(g *Gate, limit int) (reply, error) {
	var out reply
	cache := slices.Clone(prompt) // what is decided
	var fed []int32               // candidates behind it
	for {
		passes := b.feed(cache, fed)
		out.Passes++
		raw := clonePasses(passes)
		step, err := g.Step(passes)
		if err != nil {
			return out, err
		}
		if !slices.EqualFunc(raw, passes, samePass) {
			return out, fmt.Errorf("pass %d: Step changed the logits", out.Passes)
		}
		out.Decisions = append(out.Decisions, g.TakeDecisions()...)
		switch {
		case step.Kept >= 0 && len(fed) > 0:
			cache = append(cache, fed[step.Kept])
		case step.Emit && step.Kept < 0:
			return out, fmt.Errorf("pass %d: a token is both emitted and taken back: %+v", out.Passes, step)
		}
		if step.Emit {
			out.Tokens = append(out.Tokens, step.Token)
			out.Chosen = append(out.Chosen, slices.Clone(g.Logits(passes[0].Logits)))
		}
		decided := slices.Concat(prompt, out.Tokens)
		if !g.Lookahead() && step.Emit {
			decided = decided[:len(decided)-1] // not fed yet
		}
		if !slices.Equal(cache, decided) {
			return out, fmt.Errorf("pass %d: the cache holds %v, the reply is %v", out.Passes, cache, out.Tokens)
		}
		if !g.Lookahead() && !slices.Equal(step.Next, []int32{step.Token}) {
			return out, fmt.Errorf("pass %d: a prefix proxy feeds %d after token %d", out.Passes, step.Next, step.Token)
		}
		if step.Emit && (step.Token == fakeEnd || len(out.Tokens) == limit) {
			out.Stats = g.Stats()
			out.Stats.Duration = 0
			return out, nil
		}
		if fed = slices.Clone(step.Next); len(fed) == 0 {
			return out, fmt.Errorf("pass %d: nothing to feed after %+v", out.Passes, step)
		}
	}
}

func clonePasses(passes []Pass) []Pass {
	var out []Pass
	for _, p := range passes {
		out = append(out, Pass{slices.Clone(p.Logits), slices.Clone(p.Hidden)})
	}
	return out
}

func samePass(a, b Pass) bool {
	sameBits := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) } // NaN too
	return slices.EqualFunc(a.Logits, b.Logits, sameBits) && slices.EqualFunc(a.Hidden, b.Hidden, sameBits)
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
