package reward

import (
	"math"
	"testing"
)

func TestDistinct(t *testing.T) {
	for _, tc := range []struct {
		n     int
		reply string
		want  float64
	}{
		{0, "", 1},
		{0, "one", 1},
		{0, "a b a b", 2.0 / 3}, // a b, b a
		{1, "The the THE end", .5},
		{3, "a b c a b c", .75}, // abc, bca, cab, abc
	} {
		if got := scoreOf(t, build(t, Spec{Type: TypeDistinct, N: tc.n}), tc.reply); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestRepetition(t *testing.T) {
	r := build(t, Spec{Type: TypeRepetition})
	for reply, want := range map[string]float64{
		"":                                      0,
		"... !":                                 0,
		"I see. You see. They do.":              0,
		"I see. I see! I  SEE":                  -2.0 / 3,
		"Good dog. Bad dog. Good dog. Bad cat.": -.25,
		"We do. We don't. WE DON’T.":            -1.0 / 3,
		"a\nb\na\n":                             -1.0 / 3,
	} {
		got := scoreOf(t, r, reply)
		if math.Abs(got-want) > 1e-12 || want == 0 && math.Signbit(got) {
			t.Errorf("%q: %v, want %v", reply, got, want)
		}
	}
}
