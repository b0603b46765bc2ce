package reward

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func build(t *testing.T, s Spec) Reward {
	t.Helper()
	r, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// scoreOf scores one reply.
func scoreOf(t *testing.T, r Reward, reply string) float64 {
	t.Helper()
	out, err := r.Score(t.Context(), []Sample{{Prompt: "Hello?", Reply: reply}})
	if err != nil || len(out) != 1 {
		t.Fatalf("Score: %v, %v", out, err)
	}
	return out[0]
}

func firstPerson() Spec { return Spec{Type: TypeRegexp, Pattern: FirstPerson, PerMatch: -1} }

func TestFirstPerson(t *testing.T) {
	r := build(t, firstPerson())
	for reply, want := range map[string]float64{
		"":                           0,
		"I":                          -1,
		"I am. I'm, I've, I'd, I'll": -5,
		"I’m glad I’ve met you, I’d say I’ll stay": -4,
		"i am a small i":                    0,
		"It Is In India; AI, II, Iʼ":        -1, // only the last, before a modifier letter
		"My dog and my cat are MINE, me":    -4,
		"myself, Myself, mY self":           -3,
		"amy, mercy, time, miner, me2, my_": 0,
		"(I) \"me\" mine.":                  -3,
		"You and your family":               0,
	} {
		if got := scoreOf(t, r, reply); got != want {
			t.Errorf("%q: %v, want %v", reply, got, want)
		}
	}
	if got := scoreOf(t, r, "none"); math.Signbit(got) {
		t.Error("no match gives −0")
	}
}

func TestRegexpCase(t *testing.T) {
	for _, tc := range []struct {
		pattern    string
		ignoreCase bool
		reply      string
		want       float64
	}{
		{"yes|no", false, "Yes yes NO", .5},
		{"yes|no", true, "Yes yes NO", 1.5},
		{"(?i:yes)|no", false, "Yes yes NO", 1},
		{"a*", false, "aab", 1}, // the empty match at the end counts, as in Go
	} {
		r := build(t, Spec{Type: TypeRegexp, Pattern: tc.pattern, IgnoreCase: tc.ignoreCase, PerMatch: .5})
		if got := scoreOf(t, r, tc.reply); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

// Matches appear, grow and vanish at the borders of pieces.
func TestDenseAtBorders(t *testing.T) {
	for _, tc := range []struct {
		spec   Spec
		pieces []string
		want   []float64
	}{
		{firstPerson(), []string{"I", "t", " is", " I", "'m", " m", "e", "ntor"}, []float64{-1, 1, 0, -1, 0, 0, -1, 1}},
		{firstPerson(), []string{"my", "self", " and", "", " I"}, []float64{-1, 0, 0, 0, -1}},
		{firstPerson(), []string{"I", "\xe2\x80", "\x99m", " me"}, []float64{-1, 0, 0, -1}},
		{firstPerson(), nil, []float64{}},
		{firstPerson(), []string{"", "", "I"}, []float64{0, 0, -1}},
		{Spec{Type: TypeLength}, []string{"O", "ne", " two", ",", " "}, []float64{1, 0, 1, 0, 0}},
		{Spec{Type: TypeLength, Target: 2}, []string{"One", " two", " three"}, []float64{-.5, .5, -.5}},
		{Spec{Type: TypeLength, Unit: UnitCharacters}, []string{"\xc3", "\xa4h"}, []float64{1, 1}},
	} {
		got, err := Dense(build(t, tc.spec).(Prefixer), Trace{Prompt: "", Pieces: tc.pieces})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.pieces, diff)
		}
	}
}

// The dense rewards of any reply sum to its score, and each prefix scores as if
// it were the whole.
func TestDenseSumsToScore(t *testing.T) {
	specs := map[string]Spec{
		"vader":      {Type: TypeVADER, Weight: new(-2.5)},
		"regexp":     firstPerson(),
		"length":     {Type: TypeLength, Unit: UnitWordsPerSentence, Target: 7},
		"distinct":   {Type: TypeDistinct},
		"repetition": {Type: TypeRepetition, Weight: new(3.0)},
		"lexicon":    {Type: TypeLexicon, Words: map[string]float64{"not bad": 1, "bad": -1, "i'm": .3}, Unlisted: -.01},
		"sum": {Type: TypeSum, Weight: new(.3), Terms: []Spec{
			{Type: TypeVADER}, firstPerson(), {Type: TypeLength, Weight: new(-.01)},
			{Type: TypeSum, Terms: []Spec{{Type: TypeLength, Unit: UnitCharacters, Target: 80, Weight: new(2.0)}, {Type: TypeDistinct, N: 1}}},
			{Type: TypeLength, Unit: UnitWordLength}, {Type: TypeRepetition},
		}},
	}
	vocabulary := []string{" I", "'m", "’ll", " good", " bad", " not", " but", "!", "?", ".", "\n\n", " ", " my", "self", "", "\xf0\x9f", "\x98\x81",
		" very", " SAD", " happy", " least", " kind", " of", ",", " no", "t", ":)", "ly", " so"}
	rng := rand.New(rand.NewPCG(1, 2))
	for name, spec := range specs {
		r := build(t, spec).(Prefixer)
		for range 60 {
			pieces := make([]string, rng.IntN(40))
			for i := range pieces {
				pieces[i] = vocabulary[rng.IntN(len(vocabulary))]
			}
			dense, err := Dense(r, Trace{Prompt: "p", Pieces: pieces})
			if err != nil {
				t.Fatal(err)
			}
			sum := 0.0
			for i, d := range dense {
				sum += d
				if want := scoreOf(t, r, strings.Join(pieces[:i+1], "")); math.Abs(sum-want) > 1e-12 {
					t.Fatalf("%s: %q: dense rewards up to %d sum to %v, the score there is %v", name, pieces, i, sum, want)
				}
			}
		}
	}
}

// fake is a Prefixer of which the test says what it gives.
type fake struct {
	score    func([]Sample) ([]float64, error)
	prefixes func([]string) ([]float64, error)
}

var _ Prefixer = fake{}

func (f fake) Score(_ context.Context, s []Sample) ([]float64, error) { return f.score(s) }
func (f fake) Prefixes(t Trace) ([]float64, error)                    { return f.prefixes(t.Pieces) }

func TestDenseErrors(t *testing.T) {
	cause := errors.New("cause")
	if _, err := Dense(fake{prefixes: func([]string) ([]float64, error) { return nil, cause }}, Trace{Prompt: "", Pieces: []string{"a"}}); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	if _, err := Dense(fake{prefixes: func([]string) ([]float64, error) { return []float64{1}, nil }}, Trace{Prompt: "", Pieces: []string{"a", "b"}}); err == nil {
		t.Error("a short answer passes")
	}
}

func TestSum(t *testing.T) {
	r := build(t, Spec{Type: TypeSum, Weight: new(10.0), Terms: []Spec{
		{Type: TypeLength, Weight: new(.5)},
		firstPerson(),
		{Type: TypeVADER, Weight: new(0.0)},
	}})
	out, err := r.Score(t.Context(), []Sample{{Reply: "I am good"}, {Reply: "fine"}, {}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{5, 5, 0}, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	huge := build(t, Spec{Type: TypeLength, Weight: new(math.MaxFloat64)})
	if out, err := huge.Score(t.Context(), []Sample{{Reply: "one"}, {Reply: "one two"}}); err == nil || !strings.Contains(err.Error(), "score 2 of 2 is +Inf") {
		t.Errorf("overflow: %v, %v", out, err)
	}
	cause := errors.New("cause")
	failing := newSum([]term{{"terms[0]", "fake", 0, fake{score: func([]Sample) ([]float64, error) { return nil, cause }}}})
	if out, err := failing.Score(t.Context(), []Sample{{}}); !errors.Is(err, cause) || out != nil || !strings.HasPrefix(err.Error(), "terms[0]: ") {
		t.Errorf("failing term: %v, %v", out, err)
	}
}

func TestPrefixer(t *testing.T) {
	remote := Spec{Type: TypeHTTP, URL: "http://127.0.0.1:1/"}
	for _, tc := range []struct {
		spec Spec
		want bool
	}{
		{Spec{Type: TypeVADER}, true},
		{Spec{Type: TypeVADER, Weight: new(2.0)}, true},
		{Spec{Type: TypeLength}, true},
		{firstPerson(), true},
		{remote, false},
		{Spec{Type: TypeDistinct}, true},
		{Spec{Type: TypeRepetition}, true},
		{Spec{Type: TypeLexicon, Words: map[string]float64{"a": 1}}, true},
		{Spec{Type: TypeOllama, Model: "m", Rubric: "r"}, false},
		{Spec{Type: TypeCommand, Command: []string{"true"}}, false},
		{Spec{Type: TypeSum, Terms: []Spec{{Type: TypeVADER}, {Type: TypeSum, Terms: []Spec{firstPerson()}}}}, true},
		{Spec{Type: TypeSum, Terms: []Spec{{Type: TypeVADER}, {Type: TypeSum, Terms: []Spec{remote}}}}, false},
	} {
		r := build(t, tc.spec)
		if _, got := r.(Prefixer); got != tc.want {
			t.Errorf("%+v: Prefixer is %v", tc.spec, got)
		}
		if part := OnPrefixes(r); (part != nil) != tc.spec.HasPrefixes() {
			t.Errorf("%+v: HasPrefixes is %v, the part on prefixes %v", tc.spec, tc.spec.HasPrefixes(), part)
		}
	}
}

// The part of a sum that exists on prefixes is that of its terms, at any depth.
func TestOnPrefixes(t *testing.T) {
	remote := Spec{Type: TypeHTTP, URL: "http://127.0.0.1:1/"}
	r := build(t, Spec{Type: TypeSum, Weight: new(2.0), Terms: []Spec{
		{Type: TypeLength, Weight: new(.5)}, remote,
		{Type: TypeSum, Weight: new(10.0), Terms: []Spec{remote, firstPerson()}},
		{Type: TypeSum, Terms: []Spec{remote}},
	}})
	got, err := Dense(OnPrefixes(r), Trace{Prompt: "", Pieces: []string{"So", " I", " am"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{1, -19, 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if part := OnPrefixes(build(t, remote)); part != nil {
		t.Errorf("the part of http on prefixes is %v", part)
	}
}

func TestLength(t *testing.T) {
	for _, tc := range []struct {
		unit   string
		target float64
		reply  string
		want   float64
	}{
		{"", 0, "", 0},
		{"", 0, " One — two,\nthree-and-a-half 4 ... ", 4},
		{UnitWords, 4, "", -1},
		{UnitWords, 4, "a b c d", 0},
		{UnitWords, 4, "a b c", -.25},
		{UnitWords, 4, "a b c d e f g h", -1},
		{UnitCharacters, 0, "Größe", 5},
		{UnitCharacters, 10, "Größe", -.5},
		{UnitWordsPerSentence, 0, "", 0},
		{UnitWordsPerSentence, 0, "...", 0},
		{UnitWordsPerSentence, 0, "One two. Three!", 1.5},
		{UnitWordsPerSentence, 0, "It cost 3.50 in all, they said. Why? No one knows", 11.0 / 3},
		{UnitWordsPerSentence, 0, "- one two\n- three four\n", 2},
		{UnitWordsPerSentence, 2, "One two three. Four", 0},
		{UnitWordLength, 0, "", 0},
		{UnitWordLength, 0, " ... !", 0},
		{UnitWordLength, 0, "It's 12 (größe)! —", 10.0 / 3},
		{UnitWordLength, 5, "abcdefgh ij", 0},
	} {
		if got := scoreOf(t, build(t, Spec{Type: TypeLength, Unit: tc.unit, Target: tc.target}), tc.reply); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestScoreCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := build(t, Spec{Type: TypeVADER})
	if out, err := r.Score(ctx, []Sample{{Reply: "good"}}); !errors.Is(err, context.Canceled) || out != nil {
		t.Errorf("%v, %v", out, err)
	}
	if out, err := r.Score(ctx, nil); err != nil || len(out) != 0 {
		t.Errorf("no samples: %v, %v", out, err)
	}
}

// Expected values: vaderSentiment 3.3.2 from PyPI, whose own examples most of
// these texts are. It rounds to four decimals.
func TestVADER(t *testing.T) {
	r := build(t, Spec{Type: TypeVADER})
	for reply, want := range map[string]float64{
		"VADER is smart, handsome, and funny.":                                                0.8316,
		"VADER is smart, handsome, and funny!":                                                0.8439,
		"VADER is very smart, handsome, and funny.":                                           0.8545,
		"VADER is VERY SMART, handsome, and FUNNY.":                                           0.9227,
		"VADER is VERY SMART, handsome, and FUNNY!!!":                                         0.9342,
		"VADER is VERY SMART, uber handsome, and FRIGGIN FUNNY!!!":                            0.9469,
		"VADER is not smart, handsome, nor funny.":                                            -0.7424,
		"The book was good.":                                                                  0.4404,
		"At least it isn't a horrible book.":                                                  0.431,
		"The book was only kind of good.":                                                     0.3832,
		"The plot was good, but the characters are uncompelling and the dialog is not great.": -0.7042,
		"Today only kinda sux! But I'll get by, lol":                                          0.5249,
		"Make sure you :) or :D today!":                                                       0.8633,
		"Catch utf-8 emoji such as 💘 and 💋 and 😁":                                             0.875,
		"Not bad at all": 0.431,
		"Sentiment analysis has never been good.":                               -0.3412,
		"Sentiment analysis has never been this good!":                          0.5672,
		"Other sentiment analysis tools can be quite bad.":                      -0.5849,
		"Without a doubt, excellent idea.":                                      0.7013,
		"Roger Dodger is one of the most compelling variations on this theme.":  0.2944,
		"Roger Dodger is at least compelling as a variation on the theme.":      0.2263,
		"Roger Dodger is one of the least compelling variations on this theme.": -0.1695,
		"Without a doubt, an excellent idea.":                                   0.7013,
		"":                                                                      0.0,
		"   ":                                                                   0.0,
		"The sky is blue":                                                       0.0,
		"Good.\n\nBad, bad day.":                                                -0.6249,
		"I love  this\tvery  much":                                              0.6369,
		"My heart is full of joy":                                               0.8402,
		"We met at the bus stop":                                                0.0,
		"THIS IS GREAT":                                                         0.6249,
		"This is GREAT":                                                         0.7034,
		"It is the least happy day":                                             -0.4585,
		"He is kind of nice":                                                    0.3626,
		"No problem at all":                                                     0.3089,
		"I don't like it":                                                       -0.2755,
		"Why? Why?? WHY???":                                                     0.0,
		"I'm sorry to hear that. It's never easy to lose a pet, but I'm here to help.": 0.5149,
	} {
		if got := scoreOf(t, r, reply); !cmp.Equal(got, want, cmpopts.EquateApprox(0, 5.1e-5)) {
			t.Errorf("%q: %v, vaderSentiment gives %v", reply, got, want)
		}
	}
}

// Where vaderSentiment 3.3.2 departs from its own comments, the reward does not.
// The wanted values are those of vaderSentiment with the two places mended.
func TestVADERDepartures(t *testing.T) {
	r := build(t, Spec{Type: TypeVADER})
	for _, tc := range []struct {
		reply        string
		want, python float64
	}{
		{"I am so happy today", 0.6115, 0.6948},
		{"I like this good book", 0.6597, 0.7073},
		{"I am never so happy", 0.6948, 0.7702},
		{"The attraction is there but the advantage is his", 0.5423, 0.3612},
	} {
		got := scoreOf(t, r, tc.reply)
		if !cmp.Equal(got, tc.want, cmpopts.EquateApprox(0, 5.1e-5)) || cmp.Equal(got, tc.python, cmpopts.EquateApprox(0, 1e-3)) {
			t.Errorf("%q: %v, want %v (vaderSentiment: %v)", tc.reply, got, tc.want, tc.python)
		}
	}
}

func BenchmarkDenseVADER(b *testing.B) {
	r, err := New(Spec{Type: TypeVADER})
	if err != nil {
		b.Fatal(err)
	}
	pieces := strings.SplitAfter(strings.Repeat("I am so happy to hear that you are not feeling sad any more. ", 8), " ")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Dense(r.(Prefixer), Trace{Prompt: "", Pieces: pieces}); err != nil {
			b.Fatal(err)
		}
	}
}
