package sampler

import (
	"errors"
	"fmt"
	"math"
)

// The scans below are one compare and one branch an element: !(v <= bound)
// holds for what is above the bound and for NaN alike, and for next to nothing
// else, so both leave for the slow path together. Eight to a turn keep the
// loop's own cost out of the way.

// argMax is the index of the largest logit, the first of equals.
func argMax(logits []float32) (int, error) {
	best, bound := -1, float32(math.Inf(-1))
	for base := 0; base < len(logits); base += 8 {
		if tail := logits[base:]; len(tail) >= 8 && noneAbove((*[8]float32)(tail), bound) {
			continue
		}
		for i, v := range logits[base:min(base+8, len(logits))] {
			if v > bound {
				best, bound = base+i, v
			} else if v != v {
				return 0, errNaN(base + i)
			}
		}
	}
	return best, checkMax(best, bound)
}

// largest leaves the k largest logits in keys, sorted. The bound is the k-th
// largest so far: what merely equals it comes later, has the higher id and
// loses. Candidates gather behind the k best and are cut back when the buffer
// is full, so that even ascending logits cost O(log k) each.
func (p *Pool) largest(logits []float32, k int) error {
	p.keys = p.keys[:0]
	full := max(4*k, 256)
	bound := float32(math.Inf(-1))
	for base := 0; base < len(logits); base += 8 {
		if tail := logits[base:]; len(tail) >= 8 && noneAbove((*[8]float32)(tail), bound) {
			continue
		}
		for i, v := range logits[base:min(base+8, len(logits))] {
			if v > bound {
				p.keys = append(p.keys, key(base+i, v))
			} else if v != v {
				return errNaN(base + i)
			}
		}
		if len(p.keys) >= full {
			p.sortKeys()
			p.keys = p.keys[:k]
			bound = keyLogit(p.keys[k-1])
		}
	}
	p.sortKeys()
	p.keys = p.keys[:min(k, len(p.keys))]
	if len(p.keys) == 0 {
		return checkMax(-1, bound)
	}
	return checkMax(int(keyToken(p.keys[0])), keyLogit(p.keys[0]))
}

func noneAbove(v *[8]float32, bound float32) bool {
	return v[0] <= bound && v[1] <= bound && v[2] <= bound && v[3] <= bound &&
		v[4] <= bound && v[5] <= bound && v[6] <= bound && v[7] <= bound
}

func errNaN(token int) error {
	return fmt.Errorf("logit of token %d is NaN: check the model's output", token)
}

func checkMax(token int, logit float32) error {
	switch {
	case token >= 0 && logit <= math.MaxFloat32:
		return nil
	case token >= 0:
		return fmt.Errorf("logit of token %d is +Inf: check the model's output", token)
	}
	return errors.New("no token to choose from: there are no logits, or all are -Inf; check the vocabulary size and the grammar's mask")
}
