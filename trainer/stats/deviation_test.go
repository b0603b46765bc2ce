package stats

import (
	"math"
	"testing"
)

func TestDeviation(t *testing.T) {
	// numpy.std(numbers, ddof=1)
	if got, want := Deviation(numbers), 4.413858046782073; math.Abs(got-want) > 1e-12 {
		t.Errorf("Deviation = %v, NumPy has %v", got, want)
	}
	if got := Deviation([]float64{3}); !math.IsNaN(got) {
		t.Errorf("Deviation of one number = %v, want NaN", got)
	}
}
