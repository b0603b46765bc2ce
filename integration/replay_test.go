//go:build patched

package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"

	"github.com/ollama/ollama/fs/ggml"
	"github.com/ollama/ollama/ml"
	quantization "github.com/ollama/ollama/ml/backend/ggml"
	llm "github.com/ollama/ollama/model"
	"github.com/ollama/ollama/model/input"
	_ "github.com/ollama/ollama/model/models"
	"github.com/ollama/ollama/tokenizer"
	"github.com/x448/float16"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// reference decodes as a textbook would: its own passes of the model on Ollama's backend, no gate, no pool, no tap.
type reference struct {
	model             llm.Model
	tokens            tokenizer.Tokenizer
	fed               int32
	width             int       // d
	embedding, output []float32 // the matrices, vocabulary × d; one where they are tied
}

func newReference(t *testing.T, file string, width int) *reference {
	t.Helper()
	m, err := llm.New(file, ml.BackendParams{AllocMemory: true, NumThreads: 2})
	check(t, err)
	m.Config().Cache.Init(m.Backend(), ml.DTypeF16, 1, 1024, 512)
	check(t, m.Backend().Load(context.Background(), func(float32) {}))
	t.Cleanup(m.Backend().Close)
	r := &reference{model: m, tokens: m.(tokenizer.Tokenizer), width: width, embedding: matrix(t, file, "token_embd.weight")}
	if r.output = matrix(t, file, "output.weight"); r.output == nil {
		r.output = r.embedding
	}
	return r
}

// forget empties the cache.
func (r *reference) forget(t *testing.T) {
	check(t, r.model.Config().Cache.Remove(0, 0, math.MaxInt32))
	r.fed = 0
}

// logits feeds tokens and returns the logits after the last.
func (r *reference) logits(t *testing.T, tokens ...int32) []float32 {
	t.Helper()
	ctx := r.model.Backend().NewContext()
	defer ctx.Close()
	batch := input.Batch{
		Inputs:  ctx.Input().FromInts(tokens, len(tokens)),
		Outputs: ctx.Input().FromInts([]int32{int32(len(tokens) - 1)}, 1),
	}
	for range tokens {
		batch.Positions = append(batch.Positions, r.fed)
		batch.Sequences = append(batch.Sequences, 0)
		r.fed++
	}
	out, err := llm.Forward(ctx, r.model, batch)
	check(t, err)
	ctx.Compute(out)
	return out.Floats()
}

// matrix reads a matrix of a model's file, nil if it has none of that name.
func matrix(t *testing.T, file, name string) []float32 {
	t.Helper()
	f, err := os.Open(file)
	check(t, err)
	defer f.Close()
	g, err := ggml.Decode(f, 0)
	check(t, err)
	for _, tensor := range g.Tensors().Items() {
		if tensor.Name == name {
			data := make([]byte, tensor.Size())
			_, err := f.ReadAt(data, int64(g.Tensors().Offset+tensor.Offset))
			check(t, err)
			if tensor.Kind != uint32(ggml.TensorTypeF32) {
				return quantization.ConvertToF32(data, tensor.Kind, tensor.Elements())
			}
			values := make([]float32, tensor.Elements())
			check(t, binary.Read(bytes.NewReader(data), binary.LittleEndian, values))
			return values
		}
	}
	return nil
}

func (r *reference) row(matrix []float32, token int32) []float32 {
	return matrix[int(token)*r.width : (int(token)+1)*r.width]
}

// slowPool is design §3.1 and 3.3 with a full sort: the candidates, their probabilities, and how many may be rejected.
func slowPool(logits []float32, o sampler.Options) (tokens []int, probs []float64, rejections int) {
	tokens = make([]int, len(logits))
	for i := range tokens {
		tokens[i] = i
	}
	sort.SliceStable(tokens, func(a, b int) bool { return logits[tokens[a]] > logits[tokens[b]] })
	sum := 0.0
	for _, i := range tokens {
		p := math.Exp((float64(logits[i]) - float64(logits[tokens[0]])) / o.Temperature)
		probs = append(probs, p)
		sum += p
	}
	mass, n := 0.0, 0
	for n < len(probs) && mass <= o.TopP*sum {
		mass += probs[n]
		n++
	}
	tokens, probs = tokens[:n], probs[:n]
	for i := range probs {
		probs[i] /= mass
	}
	left := 1.0
	for rejections < n-1 && left > o.PT*float64(n-rejections) {
		left -= probs[rejections]
		rejections++
	}
	return tokens, probs, rejections
}

// Every decision of real traces is made again from the model's own logits, the rule and the network, in float64: of the test
// model, and of random ones of the other architectures, past the window of the one whose attention slides.
func TestReplay(t *testing.T) {
	s := start(t, t.Name(), root("bin", "ollama"), wire.RolloutVariable+"=1", "OLLAMA_NUM_PARALLEL=1", "OLLAMA_FLASH_ATTENTION=0")
	t.Run(model, func(t *testing.T) {
		replayAll(t, s, model, newReference(t, modelFile, modelShape.EmbeddingLength), modelShape, bothFeatures)
	})
	for _, architecture := range append(slices.Clone(causalArchitectures), hybridArchitecture) {
		t.Run(architecture, func(t *testing.T) {
			data, shape := randomModel(t, architecture, 2)
			file := filepath.Join(t.TempDir(), "model.gguf")
			check(t, os.WriteFile(file, data, 0o644))
			name := "replay-" + architecture
			s.create(t, name, map[string]any{"files": map[string]string{"model.gguf": s.push(t, data)}})
			features := bothFeatures
			if architecture == hybridArchitecture {
				features = []proxy.Features{proxy.Prefix} // see TestHybrid
			}
			replayAll(t, s, name, newReference(t, file, randomWidth), shape, features)
		})
	}
}

func replayAll(t *testing.T, s *server, name string, ref *reference, shape proxy.Base, features []proxy.Features) {
	t.Helper()
	const prompt = "Once upon a time there was a fox who"
	promptTokens, err := ref.tokens.Encode(prompt, true)
	check(t, err)
	for _, features := range features {
		for _, explore := range []bool{false, true} {
			data := newProxyFor(t, shape, features, 11, nil)
			path := filepath.Join(t.TempDir(), "proxy.gguf")
			check(t, os.WriteFile(path, data, 0o644))
			network, err := proxy.Open(path)
			check(t, err)
			request := explored(s.push(t, data), prompt, 5)
			request["model"], request["raw"] = name, true
			request["options"].(map[string]any)["proxy_explore"] = explore
			r := s.generate(t, request)
			checkTrace(t, shape, features, r)
			ref.forget(t)
			replay(t, ref, network, r, ref.logits(t, promptTokens...), explorer(explore, 5))
		}
	}
}

// explorer is the generator that the plugin documents, nil for the likelier action.
func explorer(explore bool, seed uint64) *rand.Rand {
	if !explore {
		return nil
	}
	return rand.New(rand.NewPCG(seed, 0x70726f7879))
}

func replay(t *testing.T, ref *reference, network *proxy.Model, r reply, logits []float32, rng *rand.Rand) {
	t.Helper()
	var asked int
	for i := 0; i < len(r.Decisions); {
		tokens, probs, rejections := slowPool(logits, network.Pool)
		for rank := 0; ; rank++ {
			d := r.Decisions[i]
			i++
			if d.Rank != rank || int(d.Token) != tokens[rank] || d.Pool != len(tokens) || math.Abs(d.Prob-probs[rank]) > 1e-4 {
				t.Fatalf("decision %d: %+v, the reference proposes token %d at rank %d of %d with %g", i-1, d, tokens[rank], rank, len(tokens), probs[rank])
			}
			want := wire.Forced
			if rank < rejections {
				asked++
				want = judge(t, ref, network, d, logits, rng)
			}
			if d.Action != want {
				t.Fatalf("decision %d: %s, the reference says %s (pi %v)", i-1, d.Action, want, d.Accept)
			}
			if want != wire.Reject {
				logits = ref.logits(t, d.Token)
				break
			}
		}
	}
	if asked < 10 {
		t.Errorf("the proxy was asked %d times: this test shows little", asked)
	}
}

// judge recomputes pi(accept) from the traced features, and checks that these are the LLM's states.
func judge(t *testing.T, ref *reference, network *proxy.Model, d wire.Decision, logits []float32, rng *rand.Rand) string {
	t.Helper()
	x := make([]float64, len(d.Features)/2)
	for i := range x {
		x[i] = float64(float16.Frombits(binary.LittleEndian.Uint16(d.Features[2*i:])).Float32())
	}
	width := ref.width
	if network.Features == proxy.Prefix {
		ref.checkState(t, x[:width], logits)
		for i, e := range ref.row(ref.embedding, d.Token) {
			if got := x[width+i]; got != float64(float16.Fromfloat32(e).Float32()) {
				t.Fatalf("feature %d is %g, the embedding of token %d has %g", width+i, got, d.Token, e)
			}
		}
	} else {
		// The state at the candidate is what its own pass ends in: feed it and take it back.
		at := ref.fed
		ref.checkState(t, x, ref.logits(t, d.Token))
		check(t, ref.model.Config().Cache.Remove(0, at, math.MaxInt32))
		ref.fed = at
	}
	p := network.Accept(x)
	if math.Abs(p-*d.Accept) > 1e-4 {
		t.Fatalf("pi(accept) of token %d is %g, the reference computes %g", d.Token, *d.Accept, p)
	}
	accept := p >= network.Cutoff
	if rng != nil {
		accept = rng.Float64() < p
	} else if math.Abs(p-network.Cutoff) < 1e-4 {
		accept = d.Action == wire.Accept // too close to call for float32
	}
	if accept {
		return wire.Accept
	}
	return wire.Reject
}

// checkState checks a final hidden state against the logits that the output matrix makes of it, for a sample of the vocabulary.
func (r *reference) checkState(t *testing.T, state []float64, logits []float32) {
	t.Helper()
	var dot, nn, mm float64
	for token := int32(0); int(token) < len(logits); token += int32(1 + len(logits)/500) {
		z := 0.0
		for i, w := range r.row(r.output, token) {
			z += float64(w) * state[i]
		}
		dot += z * float64(logits[token])
		nn += z * z
		mm += float64(logits[token]) * float64(logits[token])
	}
	// The product of the quantised matrix rounds the state to 8 bits first.
	if cosine := dot / math.Sqrt(nn*mm); !(cosine > 0.9995) {
		t.Fatalf("the traced state does not give the model's logits: cosine %g", cosine)
	}
}
