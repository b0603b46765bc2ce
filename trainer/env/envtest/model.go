package envtest

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/x448/float16"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

// chatRequest is what the server reads of a chat.
type chatRequest struct {
	Model    string
	Messages []prompts.Message
	LogProbs bool `json:"logprobs"`
	Options  struct {
		Seed        int
		NumPredict  int      `json:"num_predict"`
		Temperature *float64 // of a reply without a proxy: 0, greedy, or 1
		Proxy       string
		Explore     bool     `json:"proxy_explore"`
		Trace       string   `json:"proxy_trace"`
		Cutoff      *float64 `json:"proxy_cutoff"`
	}
}

type chatReply struct {
	Message    prompts.Message `json:"message"`
	Done       bool            `json:"done"`
	DoneReason string          `json:"done_reason"`
	EvalCount  int             `json:"eval_count"`
	Proxy      *wire.Stats     `json:"proxy,omitempty"`
	Decisions  []wire.Decision `json:"decisions,omitempty"`
	LogProbs   []logProb       `json:"logprobs,omitempty"`
}

type logProb struct {
	LogProb float64 `json:"logprob"`
}

// defaultTokens is the length of a reply where the request does not say.
const defaultTokens = 16

// reply babbles until the reply is as long as it may be.
func (in *chatRequest) reply(m *proxy.Model) (*chatReply, error) {
	out := &chatReply{Done: true, DoneReason: "length"}
	d := &decider{request: in, model: m, reply: out, rng: rand.New(rand.NewPCG(uint64(in.Options.Seed), 0))}
	if m != nil {
		out.Proxy = &wire.Stats{Digest: in.Options.Proxy, Features: string(m.Features)}
	}
	tokens := in.Options.NumPredict
	if tokens < 1 {
		tokens = defaultTokens
	}
	var text strings.Builder
	for _, message := range in.Messages {
		text.WriteString(message.Content)
	}
	before := text.Len()
	for position := range tokens {
		logits := logitsAfter(text.String())
		token, err := d.next(position, text.String(), logits)
		if err != nil {
			return nil, err
		}
		text.WriteString(Words[token])
		out.EvalCount++
		if in.LogProbs {
			out.LogProbs = append(out.LogProbs, logProb{logSoftmax(logits, token)})
		}
	}
	out.Message = prompts.Message{Role: "assistant", Content: text.String()[before:]}
	return out, nil
}

// decider picks the tokens of one reply.
type decider struct {
	request *chatRequest
	model   *proxy.Model // nil: the LLM decides
	reply   *chatReply
	rng     *rand.Rand
	pool    sampler.Pool
}

func (d *decider) next(position int, before string, logits []float32) (int, error) {
	o := sampler.Options{Temperature: 1, TopP: 1}
	switch t := d.request.Options.Temperature; {
	case d.model != nil:
		o = d.model.Pool
	case t != nil && *t == 0:
		o.TopK = 1
	}
	if err := d.pool.Build(logits, o); err != nil {
		return 0, err
	}
	if d.model == nil {
		return d.draw(), nil
	}
	return d.walk(position, before)
}

// draw samples from the pool, as the LLM does on its own.
func (d *decider) draw() int {
	left := d.rng.Float64()
	for _, c := range d.pool.Candidates() {
		if left -= c.Prob; left < 0 {
			return int(c.Token)
		}
	}
	return int(d.pool.Candidates()[0].Token)
}

// walk lets the proxy accept and reject.
func (d *decider) walk(position int, before string) (int, error) {
	var w sampler.Walk
	counts := d.reply.Proxy
	counts.Forwards++
	for w.Start(&d.pool); ; {
		c := w.Candidate()
		counts.Proposed++
		decision := wire.Decision{
			Position: position, Token: c.Token, Text: Words[c.Token], Rank: w.Rank(), Prob: c.Prob, Pool: len(d.pool.Candidates()), Action: wire.Forced,
		}
		if !w.Forced() {
			d.ask(&decision, features(before, c.Token, d.model.Features))
		}
		if d.request.Options.Trace != wire.TraceOff {
			d.reply.Decisions = append(d.reply.Decisions, decision)
		}
		switch decision.Action {
		case wire.Reject:
			counts.Rejected++
			if d.model.Features == proxy.Lookahead {
				counts.Forwards++
			}
			if err := w.Reject(); err != nil {
				return 0, err
			}
			continue
		case wire.Accept:
			counts.Accepted++
		default:
			counts.Forced++
		}
		return int(c.Token), nil
	}
}

// ask lets the proxy decide, on features as the trace has them.
func (d *decider) ask(decision *wire.Decision, x []float64) {
	p := d.model.Accept(x)
	decision.Accept = &p
	if d.request.Options.Trace == wire.TraceFeatures {
		for _, v := range x {
			decision.Features = binary.LittleEndian.AppendUint16(decision.Features, float16.Fromfloat32(float32(v)).Bits())
		}
	}
	cutoff := d.model.Cutoff
	if c := d.request.Options.Cutoff; c != nil {
		cutoff = *c
	}
	accepted := p >= cutoff
	if d.request.Options.Explore {
		accepted = d.rng.Float64() < p
	}
	decision.Action = wire.Reject
	if accepted {
		decision.Action = wire.Accept
	}
}

// generator draws what a text decides.
func generator(text string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return rand.New(rand.NewPCG(h.Sum64(), 1))
}

func logitsAfter(text string) []float32 {
	rng := generator(text)
	logits := make([]float32, len(Words))
	for i := range logits {
		logits[i] = float32(2 * rng.NormFloat64())
	}
	return logits
}

// features are what the proxy sees of a candidate, rounded to float16: the state before it and its embedding, or for lookahead
// the state at it, which here says no more than which token it is.
func features(before string, token int32, kind proxy.Features) []float64 {
	texts := []string{before, "embedding of" + Words[token]}
	if kind == proxy.Lookahead {
		texts = texts[1:]
	}
	var x []float64
	for _, text := range texts {
		rng := generator("state" + text)
		for range Width {
			x = append(x, float64(float16.Fromfloat32(float32(rng.NormFloat64())).Float32()))
		}
	}
	return x
}

func logSoftmax(logits []float32, token int) float64 {
	sum := 0.0
	for _, z := range logits {
		sum += math.Exp(float64(z))
	}
	return float64(logits[token]) - math.Log(sum)
}
