package proxy

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// table is a token embedding matrix.
type table [][]float32

func embeddingTable(rng *rand.Rand, tokens, d int) table {
	rows := make(table, tokens)
	for i := range rows {
		rows[i] = vector(rng, d)
	}
	return rows
}

func (rows table) row(token int32) ([]float32, error) { return rows[token], nil }

func mustAccept(t testing.TB, e *Evaluator, token int32, embedding func(int32) ([]float32, error)) float64 {
	p, err := e.AcceptToken(token, embedding)
	if err != nil {
		t.Error(err)
	}
	return p
}

// An embedding that could not be read is an error, and is asked for again.
func TestCacheKeepsNoFailure(t *testing.T) {
	m := cacheModel(t)
	rows := embeddingTable(rand.New(rand.NewPCG(1, 1)), 2, m.EmbeddingLength)
	e := NewEvaluator(m)
	enableCache(t, e, 4)
	e.SetHidden(rows[0])
	broken := errors.New("disk on fire")
	if _, err := e.AcceptToken(1, func(int32) ([]float32, error) { return rows[0], broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if got, want := mustAccept(t, e, 1, rows.row), e.Accept(rows[1]); got != want {
		t.Errorf("pi(accept) = %v after an error, want %v", got, want)
	}
}

// enableCache gives e a cache with room for the given number of tokens.
func enableCache(t testing.TB, e *Evaluator, tokens int) {
	t.Helper()
	if err := e.EnableCache(int64(tokens) * int64(4*e.layers[0].Out+entryOverhead)); err != nil {
		t.Fatal(err)
	}
	if cap(e.cache.tokens) != tokens {
		t.Fatalf("room for %d tokens, want %d", cap(e.cache.tokens), tokens)
	}
}

func cacheModel(t testing.TB) *Model {
	c := testConfig()
	c.Base = Base{}
	return newModel(t, c, 1)
}

func TestCacheChangesNoBit(t *testing.T) {
	m := cacheModel(t)
	rng := rand.New(rand.NewPCG(1, 1))
	rows := embeddingTable(rng, 40, m.EmbeddingLength)
	plain, cached := NewEvaluator(m), NewEvaluator(m)
	enableCache(t, cached, 7)
	for range 50 {
		h := vector(rng, m.EmbeddingLength)
		plain.SetHidden(h)
		cached.SetHidden(h)
		for range 10 {
			token := int32(rng.IntN(len(rows)))
			if got, want := mustAccept(t, cached, token, rows.row), plain.Accept(rows[token]); got != want {
				t.Fatalf("pi(accept) = %v with a cache, %v without", got, want)
			}
		}
	}
	if n := len(cached.cache.slots); n != 7 {
		t.Errorf("%d tokens are cached, want 7", n)
	}
}

func TestCacheAsksOnceAndKeepsWhatIsUsed(t *testing.T) {
	m := cacheModel(t)
	rows := embeddingTable(rand.New(rand.NewPCG(1, 1)), 100, m.EmbeddingLength)
	e := NewEvaluator(m)
	enableCache(t, e, 4)
	asked := make(map[int32]int)
	embedding := func(token int32) ([]float32, error) {
		asked[token]++
		return rows.row(token)
	}
	e.SetHidden(rows[0])
	for token := int32(1); token < 100; token++ { // token 0 in between all others
		mustAccept(t, e, 0, embedding)
		mustAccept(t, e, token, embedding)
	}
	if asked[0] != 1 {
		t.Errorf("the embedding of a token in constant use was asked for %d times, want once", asked[0])
	}
	mustAccept(t, e, 1, embedding)
	if asked[1] != 2 {
		t.Errorf("the embedding of a token of long ago was asked for %d times, want twice: the cache is bounded", asked[1])
	}
}

func TestCacheRefuses(t *testing.T) {
	if err := NewEvaluator(cacheModel(t)).EnableCache(10); err == nil {
		t.Error("a cache of 10 bytes was made")
	}
	lookahead := testConfig()
	lookahead.Features = Lookahead
	if err := NewEvaluator(newModel(t, lookahead, 1)).EnableCache(1 << 20); err == nil {
		t.Error("a cache for lookahead was made")
	}
	normed := cacheModel(t)
	normed.Norm = NewNorm(normed.InputLength())
	if err := NewEvaluator(normed).EnableCache(1 << 20); err == nil {
		t.Error("a cache for a model with a norm was made")
	}
}

func TestCacheHoldsAtMostTheVocabulary(t *testing.T) {
	e := NewEvaluator(newModel(t, testConfig(), 1)) // vocabulary of 100
	if err := e.EnableCache(1 << 20); err != nil {
		t.Fatal(err)
	}
	if n := cap(e.cache.tokens); n != 100 {
		t.Errorf("room for %d tokens, want the vocabulary's 100", n)
	}
}

func TestCacheNoAllocations(t *testing.T) {
	m := cacheModel(t)
	rows := embeddingTable(rand.New(rand.NewPCG(1, 1)), 100, m.EmbeddingLength)
	e := NewEvaluator(m)
	enableCache(t, e, 30)
	e.SetHidden(rows[0])
	embedding := rows.row
	token := int32(0)
	if n := testing.AllocsPerRun(1000, func() {
		mustAccept(t, e, token%100, embedding)
		token++
	}); n != 0 {
		t.Errorf("%v allocations a call, want 0", n)
	}
}
