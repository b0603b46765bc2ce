package stats

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func waves() []float64 {
	xs := make([]float64, 96)
	for i := range xs {
		xs[i] = math.Sin(float64(i)*1.7) + .4
	}
	return xs
}

func TestBootstrapAgreesWithNumPy(t *testing.T) {
	for _, c := range []struct {
		name      string
		xs        []float64
		want      Interval
		tolerance float64
	}{
		// numpy.quantile over 200,000 resamples; a quantile of 20,000 has a
		// standard error of 0.0014.
		{"96 numbers", waves(), Interval{.4009047810042112, .25922905, .54152069}, .006},
		// numpy.quantile over all 3,125 resamples that there are; neighbouring means
		// lie 0.05 apart.
		{"5 numbers, all resamples", []float64{-.5, .25, 1, 1.5, 3}, Interval{1.05, .1, 2.15}, .0501},
		{"no spread", []float64{2, 2, 2}, Interval{2, 2, 2}, 0},
		{"one number", []float64{-3}, Interval{-3, -3, -3}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Bootstrap(c.xs, 20000, 1)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateApprox(0, c.tolerance)); diff != "" {
				t.Errorf("interval (-NumPy +got):\n%s", diff)
			}
		})
	}
}

// The interval of a run must be the same when its report is made again, on any
// machine. Do not edit the numbers by hand.
func TestBootstrapIsPinnedByItsSeed(t *testing.T) {
	got, err := Bootstrap(waves(), 1000, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := Interval{Mean: 0.400904781004211, Low: 0.2680340582075656, High: 0.5371326367959923}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("interval of seed 7 (-pinned +got):\n%s", diff)
	}
	other, err := Bootstrap(waves(), 1000, 8)
	if err != nil {
		t.Fatal(err)
	}
	if other == got {
		t.Errorf("seeds 7 and 8 both give %v", got)
	}
}

// Pairing is the point: a common difficulty of the prompts drops out.
func TestPairedBootstrapDropsWhatPairsShare(t *testing.T) {
	a, b := waves(), waves()
	for i := range a {
		shared := 100 * float64(i%7)
		a[i] += shared
		b[i] = shared
	}
	got, err := PairedBootstrap(a, b, 1000, 7)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Bootstrap(waves(), 1000, 7)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("interval of pairs (-of differences +got):\n%s", diff)
	}
	if got.Includes(0) || !got.Includes(.4) || got.Includes(.6) {
		t.Errorf("%v includes 0: %t, 0.4: %t, 0.6: %t; want false, true, false",
			got, got.Includes(0), got.Includes(.4), got.Includes(.6))
	}
}

// A statistic that is infinite on a share of the resamples has an infinite end,
// and never NaN.
func TestBootstrapOfInfinities(t *testing.T) {
	for _, c := range []struct {
		name      string
		inf       float64
		share     int // of 100 resamples
		low, high float64
	}{
		{"few above", math.Inf(1), 1, 0, 0},
		{"some above", math.Inf(1), 10, 0, math.Inf(1)},
		{"all above", math.Inf(1), 100, math.Inf(1), math.Inf(1)},
		{"some below", math.Inf(-1), 10, math.Inf(-1), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := 0
			low, high, err := BootstrapOf(3, 100, 1, func(picks []int) float64 {
				if i++; i <= c.share {
					return c.inf
				}
				return 0
			})
			if err != nil || low != c.low || high != c.high {
				t.Errorf("%v to %v, %v; want %v to %v", low, high, err, c.low, c.high)
			}
		})
	}
}

func ExamplePairedBootstrap() {
	proxy := []float64{.7, .4, .9, .6}
	greedy := []float64{.1, .3, .2, .5}
	gain, err := PairedBootstrap(proxy, greedy, 10000, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("gain", gain)
	// Output: gain 0.38 [0.10, 0.65]
}
