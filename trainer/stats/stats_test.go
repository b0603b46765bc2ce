package stats

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// near allows for another order of summation than NumPy's.
var near = cmpopts.EquateApprox(0, 1e-12)

var numbers = []float64{3.5, -1.25, 0, 7, 2.5, 2.5, -4, 9.75}

func TestMean(t *testing.T) {
	if got := Mean(numbers); got != 2.5 {
		t.Errorf("Mean = %v, NumPy has 2.5", got)
	}
	if got := Mean(nil); !math.IsNaN(got) {
		t.Errorf("Mean of nothing = %v, want NaN", got)
	}
}

func TestQuantiles(t *testing.T) {
	before := slices.Clone(numbers)
	got, err := Quantiles(numbers, 0, .025, .1, .25, .5, .75, .975, 1)
	if err != nil {
		t.Fatal(err)
	}
	// numpy.quantile
	want := []float64{-4, -3.51875, -2.075, -.3125, 2.5, 4.375, 9.26875, 9.75}
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("quantiles (-NumPy +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, numbers); diff != "" {
		t.Errorf("the argument was changed:\n%s", diff)
	}
	one, err := Quantiles([]float64{6}, 0, .3, 1)
	if err != nil || !slices.Equal(one, []float64{6, 6, 6}) {
		t.Errorf("quantiles of one number = %v, %v", one, err)
	}
}

func TestWinRate(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []float64
		want float64
	}{
		{"wins, losses, a tie", []float64{1, 2, 3, 0}, []float64{0, 2, 4, -1}, 2.5 / 4},
		{"all ties", []float64{1, 1}, []float64{1, 1}, .5},
		{"all lost", []float64{-1}, []float64{0}, 0},
		{"infinite scores", []float64{math.Inf(1), math.Inf(1)}, []float64{0, math.Inf(1)}, .75},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := WinRate(c.a, c.b)
			if err != nil || got != c.want {
				t.Errorf("WinRate = %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestHistogram(t *testing.T) {
	xs := []float64{0, .1, .2, .3, .30000000000000004, .5, .7, .9, 1, 1.1, -.1}
	// numpy.histogram(xs, bins, (low, high)). Its fourth edge of ten between 0 and
	// 1 is 0.30000000000000004, so 0.3 lies below.
	for _, c := range []struct {
		low, high float64
		want      []int
	}{
		{0, 1, []int{1, 1, 2, 1, 0, 1, 1, 0, 0, 2}},
		{0, 1, []int{5, 1, 3}},
		{-.5, 1.25, []int{0, 1, 3, 2, 2, 1, 2}},
	} {
		h, err := NewHistogram(xs, c.low, c.high, len(c.want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, h.Counts); diff != "" {
			t.Errorf("%v to %v in %d bins (-NumPy +got):\n%s", c.low, c.high, len(c.want), diff)
		}
		if h.Edges[0] != c.low || h.Edges[len(c.want)] != c.high || !slices.IsSorted(h.Edges) {
			t.Errorf("edges %v, want ascending ones from %v to %v", h.Edges, c.low, c.high)
		}
	}
}

// Every number lies in the bin that its edges say, also where a division is off
// in the last place.
func TestHistogramAgreesWithItsEdges(t *testing.T) {
	for bins := 1; bins < 60; bins++ {
		low, high := -.1*float64(bins), 1/float64(bins)
		empty, err := NewHistogram(nil, low, high, bins)
		if err != nil {
			t.Fatal(err)
		}
		for i, edge := range empty.Edges {
			want := min(i, bins-1)
			if got := empty.bin(edge); got != want {
				t.Errorf("%d bins: edge %d is in bin %d, want %d", bins, i, got, want)
			}
			if below := math.Nextafter(edge, low-1); i > 0 {
				if got := empty.bin(below); got != i-1 {
					t.Errorf("%d bins: just below edge %d is in bin %d, want %d", bins, i, got, i-1)
				}
			}
		}
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		sets      [][]float64
		low, high float64
	}{
		{[][]float64{{1, 3}, {}, {-2, math.NaN()}}, -2, 3},
		{[][]float64{{4}}, 3.5, 4.5},
		{nil, 0, 1},
	} {
		if low, high := Bounds(c.sets...); low != c.low || high != c.high {
			t.Errorf("Bounds(%v) = %v, %v; want %v, %v", c.sets, low, high, c.low, c.high)
		}
	}
}

func TestDistinct(t *testing.T) {
	same := "the cat and the cat"
	for _, c := range []struct {
		name         string
		n            int
		texts        []string
		want, within float64
	}{
		{"words", 1, []string{same}, 3. / 5, 3. / 5},
		{"pairs", 2, []string{same}, 3. / 4, 3. / 4},
		{"case and space", 1, []string{"The  the\nTHE"}, 1. / 3, 1. / 3},
		{"alike texts", 2, []string{"a b c", "a b c"}, .5, 1},
		{"no pair across texts", 2, []string{"a", "b"}, 1, 1},
		{"short texts do not count", 2, []string{"a", "b b b"}, .5, .5},
		{"no texts", 2, nil, 1, 1},
		{"no n", 0, []string{"a a"}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Distinct(c.n, c.texts); math.Abs(got-c.want) > 1e-15 {
				t.Errorf("Distinct = %v, want %v", got, c.want)
			}
			if got := DistinctWithin(c.n, c.texts); math.Abs(got-c.within) > 1e-15 {
				t.Errorf("DistinctWithin = %v, want %v", got, c.within)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	second := func(_ any, err error) error { return err }
	onlyError := func(_, _ float64, err error) error { return err }
	for _, c := range []struct {
		name, want string
		err        error
	}{
		{"quantiles of nothing", "no numbers", second(Quantiles(nil, .5))},
		{"quantiles of NaN", "number 2 of 2 is NaN", second(Quantiles([]float64{1, nan}, .5))},
		{"quantile out of range", "quantile 1.5", second(Quantiles([]float64{1}, 1.5))},
		{"quantile NaN", "quantile NaN", second(Quantiles([]float64{1}, nan))},
		{"win rate of unequal", "1 scores against 2", second(WinRate([]float64{1}, []float64{1, 2}))},
		{"win rate of nothing", "no pairs", second(WinRate(nil, nil))},
		{"win rate of NaN", "pair 1 of 1", second(WinRate([]float64{nan}, []float64{1}))},
		{"no bins", "0 bins", second(NewHistogram(nil, 0, 1, 0))},
		{"no range", "from 1 to 1", second(NewHistogram(nil, 1, 1, 2))},
		{"infinite range", "from 0 to +Inf", second(NewHistogram(nil, 0, inf, 2))},
		{"NaN in histogram", "number 1 of 1 is NaN", second(NewHistogram([]float64{nan}, 0, 1, 2))},
		{"bootstrap of nothing", "no numbers", second(Bootstrap(nil, 10, 1))},
		{"bootstrap of infinity", "number 1 of 1 is +Inf", second(Bootstrap([]float64{inf}, 10, 1))},
		{"no resamples", "0 resamples", second(Bootstrap([]float64{1}, 0, 1))},
		{"NaN statistic", "resample 1 is NaN", onlyError(BootstrapOf(2, 10, 1, func([]int) float64 { return nan }))},
		{"best of none", "best of 0", second(BestOf([]float64{1}, 0))},
		{"best of too many", "best of 2: 1 numbers", second(BestOf([]float64{1}, 2))},
		{"best of NaN", "number 1 of 1 is NaN", second(BestOf([]float64{nan}, 1))},
		{"unequal pairs", "1 scores against 0", second(PairedBootstrap([]float64{1}, nil, 10, 1))},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, c.err, c.want)
		}
	}
}
