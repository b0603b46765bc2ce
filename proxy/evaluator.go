package proxy

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Evaluator computes pi(accept) fast and without allocating: float32, one
// matrix-vector product a layer. At a position of the text call SetHidden once,
// then Accept for each candidate:
//
//	e.SetHidden(h)              // prefix: the state before the candidates
//	p := e.Accept(embedding)    // prefix: a candidate's token embedding
//
//	e.SetHidden(h)              // lookahead: the state at the candidate
//	p := e.Accept(nil)
//
// With [Prefix] and no Norm the hidden state's half of the first layer is
// computed once in SetHidden and shared by all candidates of the position. A
// Norm mixes both halves, so there each candidate takes the whole layer.
//
// The result depends only on the weights and the values that are passed, to the
// last bit: not on where the slices lie in memory, nor on whether candidates are
// cached ([Evaluator.EnableCache]). It differs from [Model.Accept] by float32's
// rounding.
//
// An Evaluator must not be used by two goroutines at once. Make one for a loaded
// proxy and fork it for each sequence or goroutine ([Evaluator.Fork]).
type Evaluator struct {
	*shared

	// features holds what the first layer takes: the hidden state, then, with
	// Prefix, the candidate's embedding.
	features []float32
	// normed holds the features after the Norm; nil without one.
	normed []float32
	// hiddenPart is bias + W_h·h, the half of the first layer that belongs to the
	// position, and product is W_e·e, the half that belongs to the candidate; nil
	// if the first layer is not computed in halves.
	hiddenPart, product []float32
	// layers alternate between the two scratch vectors.
	scratch [2][]float32
}

// shared is what an evaluator and its forks have in common. All but the cache,
// which has a lock, is only read.
type shared struct {
	config Config
	norm   *Norm
	layers []Linear
	// halves are W_h and W_e, d columns each, where the first layer is computed
	// in halves. They are a copy, because half a row of the first layer, then a
	// gap, then half of the next is two to three times slower to read from memory.
	halves *[2]Linear
	cache  *productCache
}

// NewEvaluator returns an evaluator of m, which must be valid and must not change
// from then on. With [Prefix] and no Norm it copies the first layer, nearly all of
// the model (see [Evaluator.Bytes]), and keeps no reference to the original.
// [Evaluator.Fork] makes further evaluators that share the copy.
func NewEvaluator(m *Model) *Evaluator {
	s := &shared{config: m.Config, norm: m.Norm, layers: slices.Clone(m.Layers)}
	if m.Features == Prefix && m.Norm == nil {
		s.halves = splitColumns(&m.Layers[0], m.EmbeddingLength)
		s.layers[0].Weight = nil
	}
	return s.evaluator()
}

// splitColumns returns copies of the first d columns and of the others.
func splitColumns(l *Linear, d int) *[2]Linear {
	halves := &[2]Linear{}
	for i := range halves {
		half := Linear{In: d, Out: l.Out, Weight: make([]float32, 0, d*l.Out)}
		for row := range slices.Chunk(l.Weight, l.In) {
			half.Weight = append(half.Weight, row[i*d:(i+1)*d]...)
		}
		halves[i] = half
	}
	return halves
}

// Fork returns another evaluator of the same model. It shares e's weights and
// cache, and takes little memory: a few vectors. It starts without a hidden
// state. Forks of one evaluator may be used and made concurrently.
func (e *Evaluator) Fork() *Evaluator { return e.shared.evaluator() }

func (s *shared) evaluator() *Evaluator {
	widest := 0
	for _, l := range s.layers {
		widest = max(widest, l.Out)
	}
	e := &Evaluator{
		shared:   s,
		features: alignedFloats(s.config.InputLength()),
		scratch:  [2][]float32{alignedFloats(widest), alignedFloats(widest)},
	}
	if s.norm != nil {
		e.normed = alignedFloats(s.config.InputLength())
	}
	if s.halves != nil {
		e.hiddenPart = alignedFloats(s.layers[0].Out)
		e.product = alignedFloats(s.layers[0].Out)
	}
	// Until SetHidden is called the answer is NaN, not that of a zero state.
	for _, values := range [][]float32{e.features, e.hiddenPart} {
		for i := range values {
			values[i] = float32(math.NaN())
		}
	}
	return e
}

// Bytes returns the memory, in bytes, that e and its forks share: the parameters,
// and the cache at its full size.
func (e *Evaluator) Bytes() int64 {
	n := 0
	count := func(l Linear) { n += len(l.Weight) + len(l.Bias) }
	for _, l := range e.layers {
		count(l)
	}
	if e.halves != nil {
		count(e.halves[0])
		count(e.halves[1])
	}
	if e.norm != nil {
		n += len(e.norm.Weight) + len(e.norm.Bias)
	}
	bytes := 4 * int64(n)
	if e.cache != nil {
		bytes += e.cache.bytes()
	}
	return bytes
}

// EnableCache makes [Evaluator.AcceptToken] remember the candidate's half of the
// first layer by token id, in at most about the given number of bytes. Few tokens
// make up most candidates, and that product is nearly all of their work. Call it
// before the first Fork: e and all its forks share the cache. An older cache is
// dropped.
//
// It returns an error if there is nothing to cache (only [Prefix] models without
// a Norm have that product), or if not even one product fits.
func (e *Evaluator) EnableCache(bytes int64) error {
	if e.halves == nil {
		return fmt.Errorf("proxy: enable cache: nothing can be cached for a proxy with features %q and norm %t: a cache needs features %q and no norm", e.config.Features, e.norm != nil, Prefix)
	}
	cache, err := newProductCache(e.layers[0].Out, e.config.Base.VocabSize, bytes)
	if err != nil {
		return fmt.Errorf("proxy: enable cache: %w", err)
	}
	e.cache = cache
	return nil
}

// SetHidden sets the LLM's final hidden state, d values, which are copied: with
// [Prefix] the state before the candidates that follow, with [Lookahead] the
// state at the one candidate that follows. It panics if h has another length.
func (e *Evaluator) SetHidden(h []float32) {
	d := e.config.EmbeddingLength
	if len(h) != d {
		panic(fmt.Sprintf("proxy: hidden state of %d values, want %d", len(h), d))
	}
	copy(e.features, h)
	if e.halves != nil {
		copy(e.hiddenPart, e.layers[0].Bias)
		e.halves[0].addProduct(e.hiddenPart, e.features[:d])
	}
}

// Accept returns pi(accept) of one candidate at the position that SetHidden set.
// With [Prefix], tokenEmbedding is the candidate's row of the LLM's embedding
// matrix, d values; with [Lookahead] it is nil.
//
// The result is NaN if a feature is, if SetHidden was never called, or if the
// features are so large that the logits are not numbers: check it, NaN is
// neither an accept nor a reject. Accept panics if tokenEmbedding has the wrong
// length.
func (e *Evaluator) Accept(tokenEmbedding []float32) float64 {
	e.setEmbedding(tokenEmbedding)
	if e.halves != nil {
		e.embeddingProduct()
		return e.finishHalves()
	}
	x := e.features
	if e.norm != nil {
		e.norm.applyFast(e.normed, x)
		x = e.normed
	}
	first := &e.layers[0]
	z := e.scratch[0][:first.Out]
	copy(z, first.Bias)
	first.addProduct(z, x)
	return e.finish(z)
}

// AcceptToken is Accept for a candidate that is known by its token id. With
// [Prefix], embedding is called for the row of the LLM's embedding matrix when it
// is needed: where the cache has the token's product already, it is not. Its error
// is returned, and nothing is cached then. With [Lookahead], embedding may be nil.
//
// As the cache goes by id alone, all embeddings must be of one LLM.
func (e *Evaluator) AcceptToken(token int32, embedding func(token int32) ([]float32, error)) (float64, error) {
	if e.config.Features == Lookahead {
		return e.Accept(nil), nil
	}
	if e.cache != nil && e.cache.load(token, e.product) {
		return e.finishHalves(), nil
	}
	row, err := embedding(token)
	if err != nil {
		return 0, fmt.Errorf("proxy: token %d: %w", token, err)
	}
	if e.cache == nil {
		return e.Accept(row), nil
	}
	e.setEmbedding(row)
	e.embeddingProduct()
	e.cache.store(token, e.product)
	return e.finishHalves(), nil
}

func (e *Evaluator) setEmbedding(embedding []float32) {
	d := e.config.EmbeddingLength
	want := e.config.InputLength() - d
	if len(embedding) != want {
		panic(fmt.Sprintf("proxy: token embedding of %d values, want %d with features %q", len(embedding), want, e.config.Features))
	}
	copy(e.features[d:], embedding)
}

// embeddingProduct sets product to W_e·e.
func (e *Evaluator) embeddingProduct() {
	clear(e.product)
	e.halves[1].addProduct(e.product, e.features[e.config.EmbeddingLength:])
}

// finishHalves adds the two halves of the first layer and computes the rest.
func (e *Evaluator) finishHalves() float64 {
	z := e.scratch[0][:len(e.product)]
	for i, h := range e.hiddenPart {
		z[i] = h + e.product[i]
	}
	return e.finish(z)
}

// finish computes pi(accept) from the first layer's output, which lies in
// scratch[0].
func (e *Evaluator) finish(z []float32) float64 {
	for i := 1; i < len(e.layers); i++ {
		e.config.Activation.applyFast(z)
		l := &e.layers[i]
		next := e.scratch[i%2][:l.Out]
		copy(next, l.Bias)
		l.addProduct(next, z)
		z = next
	}
	return probability(float64(z[0]), float64(z[1]))
}

// addProduct adds W·x to y. Gonum's own BLAS is named, and not whatever
// blas32.Use has registered, so that the last bits are the same in the trainer
// and in the server.
func (l *Linear) addProduct(y, x []float32) {
	gonum.Implementation{}.Sgemv(blas.NoTrans, l.Out, l.In, 1, l.Weight, l.In, x, 1, 1, y, 1)
}

// applyFast is [Norm.apply] into y, with the sums in float64.
func (n *Norm) applyFast(y, x []float32) {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	mean := sum / float64(len(x))
	sum = 0
	for _, v := range x {
		sum += (float64(v) - mean) * (float64(v) - mean)
	}
	scale := 1 / math.Sqrt(sum/float64(len(x))+NormEpsilon)
	for i, v := range x {
		y[i] = float32((float64(v)-mean)*scale)*n.Weight[i] + n.Bias[i]
	}
}

// applyFast is [Activation.apply] on a vector, in place.
func (a Activation) applyFast(x []float32) {
	switch a {
	case ReLU:
		for i, v := range x {
			x[i] = max(0, v)
		}
	default:
		for i, v := range x {
			x[i] = float32(a.apply(float64(v)))
		}
	}
}

// alignedFloats returns n zeros that begin at a multiple of 16 bytes. Gonum's dot
// product sums the elements before such a boundary first, so the order of
// summation, and with it the last bits, would depend on where a vector happens to
// lie. Go aligns objects whose size is a multiple of 64 bytes.
func alignedFloats(n int) []float32 {
	return make([]float32, n, (n+15)&^15)
}
