package stats

import "math"

// Deviation returns the standard deviation of the population that xs are a sample of (numpy.std with ddof=1), or NaN of fewer
// than two numbers: one run says nothing of how far runs lie apart.
func Deviation(xs []float64) float64 {
	if len(xs) < 2 {
		return math.NaN()
	}
	mean, sum := Mean(xs), 0.0
	for _, x := range xs {
		sum += (x - mean) * (x - mean)
	}
	return math.Sqrt(sum / float64(len(xs)-1))
}
