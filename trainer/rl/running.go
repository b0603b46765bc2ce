package rl

import (
	"fmt"
	"math"
)

// Running is the mean and variance of vectors seen so far, one of each for every
// element, in one pass (Welford 1962). Two of them can be merged (Chan et al.
// 1979). For scalars, use vectors of length 1.
//
// The zero value has seen nothing and takes its length from the first vector.
// The fields are exported so that it can be saved with encoding/json or
// encoding/gob and goes on bit-equal; use the methods to change them.
type Running struct {
	// Count is the number of vectors seen.
	Count int64
	// Mean of each element.
	Mean []float64
	// M2 is the sum of squared deviations from the mean of each element.
	M2 []float64
}

// Push adds one vector. Length errors are returned; numbers that are not finite
// are not looked for.
func (r *Running) Push(x []float32) error {
	if r.Count == 0 && len(r.Mean) == 0 {
		r.Mean, r.M2 = make([]float64, len(x)), make([]float64, len(x))
	}
	if len(x) != len(r.Mean) {
		return fmt.Errorf("rl: running statistics: a vector of %d after vectors of %d: want the same length", len(x), len(r.Mean))
	}
	r.Count++
	n := float64(r.Count)
	for i, v := range x {
		d := float64(v) - r.Mean[i]
		r.Mean[i] += d / n
		r.M2[i] += d * (float64(v) - r.Mean[i])
	}
	return nil
}

// Merge adds all that other has seen, which is left as it is.
func (r *Running) Merge(other Running) error {
	if other.Count == 0 {
		return nil
	}
	if r.Count == 0 {
		*r = other.Clone()
		return nil
	}
	if len(r.Mean) != len(other.Mean) {
		return fmt.Errorf("rl: running statistics: merging vectors of %d into vectors of %d: want the same length", len(other.Mean), len(r.Mean))
	}
	a, b := float64(r.Count), float64(other.Count)
	for i := range r.Mean {
		d := other.Mean[i] - r.Mean[i]
		r.Mean[i] += d * b / (a + b)
		r.M2[i] += other.M2[i] + d*d*a*b/(a+b)
	}
	r.Count += other.Count
	return nil
}

// Clone returns a copy that shares no memory.
func (r Running) Clone() Running {
	return Running{
		Count: r.Count,
		Mean:  append([]float64(nil), r.Mean...),
		M2:    append([]float64(nil), r.M2...),
	}
}

// Variance returns the population variance of element i, 0 before anything was
// seen.
func (r *Running) Variance(i int) float64 {
	if r.Count == 0 {
		return 0
	}
	return r.M2[i] / float64(r.Count)
}

// Scale returns what to divide a deviation of element i by: the standard
// deviation, or 1 where the element hardly ever moved (a deviation of less than
// a millionth of its size, or fewer than two vectors), so that the first change
// of a constant does not blow up.
func (r *Running) Scale(i int) float64 {
	sd := math.Sqrt(r.Variance(i))
	if r.Count < 2 || sd <= 1e-6*math.Abs(r.Mean[i]) || sd < 1e-12 {
		return 1
	}
	return sd
}
