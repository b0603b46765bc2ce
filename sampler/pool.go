package sampler

import (
	"fmt"
	"math"
)

// Candidate is a token of the pool.
type Candidate struct {
	Token int32
	Prob  float64 // renormalised: the pool's sum to 1
}

// Pool is the candidates of one position, the paper's T, and the scratch memory
// to build them in. It belongs to one sequence and is built again for every
// position; once it has grown to what the vocabulary and the options need,
// Build allocates nothing. That is a few KiB for ordinary text and about 32
// bytes a vocabulary entry where nearly all of it is plausible.
//
// The zero value is ready to use.
type Pool struct {
	candidates []Candidate
	rejections int

	keys, spare []uint64 // tokens under consideration, see key
}

// Candidates are in descending order of logit, hence of probability, ties by
// ascending token id. They are the pool's own memory: read only, and valid
// until the next Build. There are none before the first Build or after one that
// failed.
func (p *Pool) Candidates() []Candidate { return p.candidates }

// Rejections is how many successive rejections from the top the position allows
// before the first forced token, between 0 and len(Candidates())-1. At 0 no
// proxy need be asked.
func (p *Pool) Rejections() int { return p.rejections }

// Build fills the pool from the logits of one position, one per vocabulary
// entry, as the package comment defines. A logit of -Inf is a token that is
// masked out.
//
// It fails if the options are invalid, if there are no logits, if any is NaN or
// +Inf, or if all are -Inf. The pool is then empty.
func (p *Pool) Build(logits []float32, o Options) error {
	p.candidates, p.rejections = p.candidates[:0], 0
	if err := o.Validate(); err != nil {
		return err
	}
	if err := p.fill(logits, o); err != nil {
		p.candidates = p.candidates[:0]
		return fmt.Errorf("sampler: pool of %d logits: %w", len(logits), err)
	}
	p.normalise(o)
	return nil
}

// fill leaves the candidates and, in place of their probabilities, the weights.
func (p *Pool) fill(logits []float32, o Options) error {
	if o.TopK > 1 && o.TopK < len(logits) && o.Temperature > 0 && o.TopP > 0 {
		if err := p.largest(logits, o.TopK); err != nil {
			return err
		}
		p.cutExactly(o)
		return nil
	}
	best, err := argMax(logits)
	switch {
	case err != nil:
		return err
	case o.TopK == 1 || o.Temperature == 0 || o.TopP <= 0:
		p.candidates = append(p.candidates, Candidate{Token: int32(best), Prob: 1})
	default:
		p.nucleus(logits, logits[best], o)
	}
	return nil
}

// cutExactly applies top-p and min-p to the keys when they are all there is:
// every token that top-k and the mask left, sorted.
func (p *Pool) cutExactly(o Options) {
	top := keyLogit(p.keys[0])
	p.candidates = p.candidates[:0]
	for _, k := range p.keys {
		p.candidates = append(p.candidates, Candidate{keyToken(k), weight(keyLogit(k), top, o.Temperature)})
	}
	enough := math.Inf(1)
	if o.TopP < 1 {
		enough = o.TopP * sum(p.candidates)
	}
	var head float64
	for i, c := range p.candidates {
		if c.Prob < o.MinP {
			p.candidates = p.candidates[:i]
			return
		}
		if head += c.Prob; head > enough {
			p.candidates = p.candidates[:i+1]
			return
		}
	}
}

// weight is a token's probability relative to that of the most probable one.
func weight(logit, top float32, temperature float64) float64 {
	return math.Exp((float64(logit) - float64(top)) / temperature)
}

// sum adds up from the smallest weight.
func sum(descending []Candidate) float64 {
	var s float64
	for i := len(descending) - 1; i >= 0; i-- {
		s += descending[i].Prob
	}
	return s
}

// normalise turns weights into probabilities and counts the rejections: the
// paper's rule, evaluated for every T' from the last candidate up.
func (p *Pool) normalise(o Options) {
	total := sum(p.candidates)
	n := len(p.candidates)
	p.rejections = n - 1
	var rest float64
	for i := n - 1; i >= 0; i-- {
		rest += p.candidates[i].Prob
		if rest <= o.PT*float64(n-i)*total {
			p.rejections = min(p.rejections, i)
		}
		p.candidates[i].Prob /= total
	}
	if o.MaxRejections > 0 {
		p.rejections = min(p.rejections, o.MaxRejections)
	}
}
