package sampler

import "math"

// nucleus fills the candidates when top-k is off. Sorting a whole vocabulary to
// keep its head is what makes the obvious version slow. Here the head is
// guessed by a threshold, and a guess that was too short is noticed and
// replaced by a lower one, at last by the whole vocabulary: the thresholds
// decide how long it takes, never what comes out.
//
// top-p needs Z, a sum over the vocabulary, though only to compare TopP*Z with
// sums of the head. So Z is not computed but enclosed (see mass), at first
// loosely, and only if a comparison falls even between the tight bounds does
// the exact definition take over.
func (p *Pool) nucleus(logits []float32, top float32, o Options) {
	minDepth := minPDepth(o.MinP)
	off := math.Inf(-1)
	switch {
	case o.TopP < 1:
		// In ordinary text few tokens weigh more than exp(-10), and never more
		// than Z*exp(10) do. The tokens below the floor, most of the
		// vocabulary, are together at most 1 % of Z.
		n := float64(len(logits))
		depth := max(minDepth, -10)
		lo, v := p.head(logits, top, o, depth, min(depth, math.Log(0.01/n)))
		if v == cutBelow {
			// n tokens of weight (1-TopP)*Z/2n at most cannot make up 1-TopP of Z.
			depth = max(minDepth, math.Log((1-o.TopP)*lo/(2*n)))
		}
		if v != cutFound {
			_, v = p.head(logits, top, o, depth, off)
		}
		if v == cutFound {
			return
		}
	case minDepth > off:
		p.keys = appendAbove(p.keys[:0], logits, 0, threshold(top, o.Temperature, minDepth))
		p.sortKeys()
		// With or without a cut among the keys, what is not among them is cut.
		p.trim(top, o.Temperature, bounds{math.Inf(1), math.Inf(1), o.MinP})
		return
	}
	p.keys = appendAbove(p.keys[:0], logits, 0, float32(off))
	p.sortKeys()
	p.cutExactly(o)
}

// minPDepth is a depth such that min-p cuts every token of a weight below
// exp(depth): lower than ln(minP) by much more than the rounding of weights.
// It is -Inf if min-p is off or near the underflow of exp, where that fails.
func minPDepth(minP float64) float64 {
	if depth := math.Log(minP) - 1e-6; depth > -700 {
		return depth
	}
	return math.Inf(-1)
}

// head tries to fill the candidates from the tokens of weight above exp(depth),
// with Z enclosed as precisely as floor makes it. It returns Z's lower bound.
func (p *Pool) head(logits []float32, top float32, o Options, depth, floor float64) (lo float64, v verdict) {
	lo, hi := p.mass(logits, top, o.Temperature, depth, floor)
	p.sortKeys()
	v = p.trim(top, o.Temperature, bounds{o.TopP * lo, o.TopP * hi, o.MinP})
	if v == cutBelow && depth == minPDepth(o.MinP) {
		v = cutFound // by min-p, just below the keys
	}
	return lo, v
}

// bounds are where top-p and min-p cut: top-p certainly not while the sum of
// the head is at most maybe, and certainly once it exceeds enough.
type bounds struct{ maybe, enough, minP float64 }

type verdict int

const (
	cutFound   verdict = iota
	cutBelow           // not among the keys
	cutUnclear         // the sum of the head fell between the bounds
)

// trim turns the sorted keys into candidates up to the cut.
func (p *Pool) trim(top float32, temperature float64, b bounds) verdict {
	p.candidates = p.candidates[:0]
	var head float64
	for _, k := range p.keys {
		w := weight(keyLogit(k), top, temperature)
		if w < b.minP {
			return cutFound
		}
		p.candidates = append(p.candidates, Candidate{keyToken(k), w})
		head += w
		if head > b.enough {
			return cutFound
		}
		if head > b.maybe {
			return cutUnclear
		}
	}
	return cutBelow
}

// threshold is a logit just below that of weight exp(depth).
func threshold(top float32, temperature, depth float64) float32 {
	return math.Nextafter32(float32(float64(top)+temperature*depth), float32(math.Inf(-1)))
}

// appendAbove appends the keys of the logits above the bound; base is the
// token id of the first.
func appendAbove(keys []uint64, logits []float32, base int, bound float32) []uint64 {
	for i, v := range logits {
		if v > bound {
			keys = append(keys, key(base+i, v))
		}
	}
	return keys
}

// mass encloses Z, in the definition of the package comment with top-k off,
// between lo and hi, and collects the keys of the tokens of weight above
// exp(depth), all in one pass. Tokens of weight below exp(floor), with floor at
// most depth, are only counted where eight of them come together.
//
// Why the bounds hold. For the tokens added up, expMinus is off by less
// than 8.1e-8 of the weight, or by less than 2e-28 beyond the end of its table,
// and Z >= 1. Adding up n positive numbers one by one loses at most n*2^-53 of
// the sum, here and again in the definition of Z, whose exponentials are good
// to 2^-52. That is less than 8.2e-8 + n*2.3e-16 of Z altogether, which the
// margin covers. The tokens counted weigh between 0 and exp(floor) each, to the
// same precision.
func (p *Pool) mass(logits []float32, top float32, temperature, depth, floor float64) (lo, hi float64) {
	collect := threshold(top, temperature, depth)
	matter := threshold(top, temperature, floor)
	// A temperature so small that the division overflows still has x = 0 at the
	// top and an x beyond the table elsewhere.
	scale := min(expSteps/temperature, math.MaxFloat64)
	z0 := float64(top)
	if z0 == 0 {
		z0 = 0 // -0 would make the distance of 0 from it -0, which is no index
	}
	keys := p.keys[:0]
	var sum0, sum1 float64 // two, so that one addition need not wait for the last
	skipped := 0
	whole := len(logits) &^ 7
	for base := 0; base < whole; base += 8 {
		v := (*[8]float32)(logits[base:])
		if noneAbove(v, matter) {
			skipped += 8
			continue
		}
		if !noneAbove(v, collect) {
			keys = appendAbove(keys, v[:], base, collect)
		}
		for i := 0; i < 8; i += 2 {
			sum0 += expMinus((z0 - float64(v[i])) * scale)
			sum1 += expMinus((z0 - float64(v[i+1])) * scale)
		}
	}
	p.keys = appendAbove(keys, logits[whole:], whole, collect)
	for _, v := range logits[whole:] {
		sum0 += expMinus((z0 - float64(v)) * scale)
	}
	margin := 1e-7 + 1e-15*float64(len(logits))
	lo = sum0 + sum1
	hi = lo + float64(skipped)*math.Exp(floor)
	return lo * (1 - margin), hi * (1 + margin)
}

const (
	expSteps = 64 // per unit
	// expEnd is the representation of the float64 4095, the last index of
	// expTable: exp(-4095/64) is 1.6e-28.
	expEnd = 0x40affe0000000000
	// expRound added to a small positive float64 rounds it to an integer, which
	// is then in the lower bits of the sum's representation.
	expRound = 1 << 52
)

// expTable[i] is exp(-i/64).
var expTable = func() (t [4096]float64) {
	for i := range t {
		t[i] = math.Exp(-float64(i) / expSteps)
	}
	return t
}()

// expMinus is exp(-x/64) for x >= 0, without a call or a branch and to within
// 8.1e-8 of it: with x = i+f, i an integer and |f| <= 1/2, the three terms of
// exp(-f/64) leave out less than exp(1/128)*(1/128)^3/6. From x = 4095 on it is
// exp(-4095/64).
func expMinus(x float64) float64 {
	// Non-negative floats order as their bits do, and the minimum of integers
	// is a conditional move.
	x = math.Float64frombits(min(math.Float64bits(x), expEnd))
	r := x + expRound
	f := x - (r - expRound)
	return expTable[math.Float64bits(r)%uint64(len(expTable))] *
		(1 - f*(1./expSteps-f*(0.5/(expSteps*expSteps))))
}
