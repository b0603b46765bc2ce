package sampler

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// argMax is the index of the largest logit, the first of equals.
func argMax(logits []float32) (int, error) {
	best, bound := -1, float32(math.Inf(-1))
	for base := 0; base < len(logits); base += skip(logits[base:], bound) {
		block := logits[base:min(base+blockSize, len(logits))]
		for i, v := range block {
			if v > bound {
				best, bound = base+i, v
			} else if v != v {
				return 0, errNaN(base + i)
			}
		}
		base += len(block)
	}
	return best, checkMax(best, bound)
}

// largest leaves the k largest logits in keys, sorted. The bound is the k-th
// largest so far: what merely equals it comes later, has the higher id and
// loses. Candidates gather behind the k best and are cut back when the buffer
// is full, so that even ascending logits cost O(log k) each.
func (p *Pool) largest(logits []float32, k int) error {
	p.keys = p.keys[:0]
	full := max(2*k, 96)
	bound := float32(math.Inf(-1))
	for base := 0; base < len(logits); base += skip(logits[base:], bound) {
		block := logits[base:min(base+blockSize, len(logits))]
		for i, v := range block {
			if v > bound {
				p.keys = append(p.keys, key(base+i, v))
			} else if v != v {
				return errNaN(base + i)
			}
		}
		base += len(block)
		if len(p.keys) >= full {
			p.keepKeys(k)
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

// blockSize is how many logits skip looks at together.
const blockSize = 16

// skip returns how many of the logits, whole blocks from the first on, hold
// nothing above the bound and no NaN. It is what a pool's time goes into, so it
// reads two logits as one integer: without their signs, floats order as their
// bits do, and adding 0x7fffffff less the bound's bits carries into a logit's sign
// bit if its magnitude is larger than the bound's, or if it is NaN. Only a block
// with such a carry, or any block if the bound is negative, is compared one by
// one: !(v <= bound) holds for what is above the bound and for NaN alike.
func skip(logits []float32, bound float32) int {
	const magnitudes, signs, lanes = 0x7fffffff7fffffff, 0x8000000080000000, 0x0000000100000001
	carry := uint64(signs) // always
	if bound >= 0 {
		carry = lanes * uint64(0x7fffffff-math.Float32bits(bound+0)) // -0 becomes 0
	}
	n := len(logits) / blockSize * blockSize
	if n == 0 {
		return 0 // there may be no eight bytes behind the pointer
	}
	pairs := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(logits))), n/2)
	for i := 0; i < n; i += blockSize {
		v := (*[blockSize / 2]uint64)(pairs[i/2:])
		sums := v[0]&magnitudes + carry
		sums |= v[1]&magnitudes + carry
		sums |= v[2]&magnitudes + carry
		sums |= v[3]&magnitudes + carry
		sums |= v[4]&magnitudes + carry
		sums |= v[5]&magnitudes + carry
		sums |= v[6]&magnitudes + carry
		sums |= v[7]&magnitudes + carry
		if sums&signs == 0 {
			continue
		}
		if !noneAbove((*[8]float32)(logits[i:]), bound) || !noneAbove((*[8]float32)(logits[i+8:]), bound) {
			return i
		}
	}
	return n
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
