package sampler

import (
	"math"
	"slices"
)

// A key packs a token and its logit so that ascending keys are the pool's
// order: descending logit, then ascending token id. The logit's bits are in the
// upper half, the id in the lower.
func key(token int, logit float32) uint64 {
	if logit == 0 {
		logit = 0 // -0 equals 0 and ties with it
	}
	b := math.Float32bits(logit)
	// Positive floats order as their bits do, negative ones in reverse.
	return uint64(b^(^uint32(int32(b)>>31)&math.MaxInt32))<<32 | uint64(uint32(token))
}

func keyToken(k uint64) int32 { return int32(uint32(k)) }

func keyLogit(k uint64) float32 {
	b := uint32(k >> 32)
	return math.Float32frombits(b ^ (^uint32(int32(b)>>31) & math.MaxInt32))
}

// radixMin is the number of keys from which the radix sort is the faster one.
const radixMin = 512

// sortKeys sorts the pool's keys. Keys of equal logit must already be in order
// of their ids, as they are when collected from the logits.
func (p *Pool) sortKeys() {
	if len(p.keys) < radixMin {
		slices.Sort(p.keys)
		return
	}
	p.radixSort()
}

// keepKeys cuts the pool's keys, of which there are more, to the k best; the
// k-th best is the last of them, the others are in any order if they are few,
// and as sortKeys wants them if they are many.
func (p *Pool) keepKeys(k int) {
	if len(p.keys) < radixMin {
		selectKey(p.keys, k-1)
	} else {
		p.sortKeys()
	}
	p.keys = p.keys[:k]
}

// selectKey moves the key that sorting would put at index n there, smaller ones
// before and larger ones behind it. It is Hoare's: of the part that holds index n,
// again and again, what is smaller than one of its keys goes to the left. No two
// keys are equal.
func selectKey(keys []uint64, n int) {
	for lo, hi := 0, len(keys)-1; lo < hi; {
		pivot := keys[lo+(hi-lo)/2]
		i, j := lo, hi
		for i <= j {
			for keys[i] < pivot {
				i++
			}
			for keys[j] > pivot {
				j--
			}
			if i <= j {
				keys[i], keys[j] = keys[j], keys[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case n <= j:
			hi = j
		case n >= i:
			lo = i
		default:
			return
		}
	}
}

// radixSort sorts by the upper halves of the keys, least significant digit
// first and stable, in three passes of 11, 11 and 10 bits.
func (p *Pool) radixSort() {
	const bits, mask = 11, 1<<11 - 1
	var counts [3][1 << bits]uint32
	for _, k := range p.keys {
		counts[0][k>>32&mask]++
		counts[1][k>>(32+bits)&mask]++
		counts[2][k>>(32+2*bits)]++
	}
	p.spare = slices.Grow(p.spare[:0], len(p.keys))[:len(p.keys)]
	for pass := range counts {
		at, shift := &counts[pass], 32+pass*bits
		if at[p.keys[0]>>shift&mask] == uint32(len(p.keys)) {
			continue // one digit for all: already in order
		}
		var start uint32
		for digit, n := range at {
			at[digit], start = start, start+n
		}
		for _, k := range p.keys {
			digit := k >> shift & mask
			p.spare[at[digit]] = k
			at[digit]++
		}
		p.keys, p.spare = p.spare, p.keys
	}
}
