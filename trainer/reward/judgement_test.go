package reward

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var errPicky = errors.New("not to my taste")

// picky scores a reply by its length and fails on those that contain bad.
func picky(bad string) Reward {
	return fake{score: func(samples []Sample) ([]float64, error) {
		scores, failures := make([]float64, len(samples)), make([]error, len(samples))
		for i, s := range samples {
			if scores[i] = float64(len(s.Reply)); strings.Contains(s.Reply, bad) {
				failures[i] = errPicky
			}
		}
		return partial(scores, failures)
	}}
}

func repliesOf(texts ...string) []Sample {
	samples := make([]Sample, len(texts))
	for i, text := range texts {
		samples[i] = Sample{Prompt: "to " + text, Reply: text}
	}
	return samples
}

// What one term fails on is left out of all, is said with its place, and the
// next terms are not asked about it.
func TestJudge(t *testing.T) {
	asked := 0
	last := fake{score: func(samples []Sample) ([]float64, error) {
		asked += len(samples)
		return make([]float64, len(samples)), nil
	}}
	r := newSum([]term{
		{"terms[0]", "words", 10, textReward(func(text string) float64 { return float64(words(text)) })},
		{"terms[1]", "inner", 2, newSum([]term{{"terms[0]", "x", 1, picky("x")}, {"terms[1]", "y", -1, picky("y")}})},
		{"terms[2]", "z", 1, picky("z")},
		{"terms[3]", "last", 1, last},
	})
	got, err := Judge(t.Context(), r, repliesOf("a", "y", "a b c", "z z", "x y", "a b"), .5)
	if err != nil {
		t.Fatal(err)
	}
	want := &Judgement{
		Judged: []int{0, 2, 5},
		Scores: []float64{11, 35, 23},
		Terms: []Term{
			{"words", []float64{1, 3, 2}},
			{"inner", []float64{0, 0, 0}}, {"inner/x", []float64{1, 5, 3}}, {"inner/y", []float64{1, 5, 3}},
			{"z", []float64{1, 5, 3}},
			{"last", []float64{0, 0, 0}},
		},
		Failures: []Failure{{1, errPicky}, {3, errPicky}, {4, errPicky}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if asked != 3 {
		t.Errorf("the last term was asked about %d replies", asked)
	}
	for i, want := range []string{"terms[1]: terms[1]: not", "terms[2]: not", "terms[1]: terms[0]: not"} {
		if !strings.HasPrefix(got.Failures[i].Err.Error(), want) {
			t.Errorf("failure %d is %v, want %s", i, got.Failures[i].Err, want)
		}
	}
}

func TestJudgeHasALimit(t *testing.T) {
	samples := repliesOf("x", "a", "a", "x")
	for _, tc := range []struct {
		max  float64
		want string // of the error; "" = none
	}{
		{1, ""}, {.5, ""},
		{.49, `reward: 2 of 4 replies could not be judged, more than reward_max_dropped 0.49 allows; the first is to "to x": not to my taste`},
		{0, "reward: 2 of 4"},
	} {
		j, err := Judge(t.Context(), picky("x"), samples, tc.max)
		if tc.want == "" {
			if err != nil || len(j.Judged) != 2 {
				t.Errorf("%v: %+v, %v", tc.max, j, err)
			}
			continue
		}
		if j != nil || !errors.Is(err, errPicky) || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%v: %+v, %v", tc.max, j, err)
		}
	}
	if j, err := Judge(t.Context(), picky("x"), nil, 0); err != nil || len(j.Judged) != 0 {
		t.Errorf("no samples: %+v, %v", j, err)
	}
	if j, err := Judge(t.Context(), picky(""), samples, 1); err != nil || len(j.Judged) != 0 || len(j.Failures) != 4 {
		t.Errorf("all fail: %+v, %v", j, err)
	}
}

// To a caller that knows nothing of it a part is an error like any other.
func TestScoreOfAPart(t *testing.T) {
	r := newSum([]term{{"", "picky", .5, picky("x")}})
	out, err := r.Score(t.Context(), repliesOf("ab", "x"))
	if out != nil || !errors.Is(err, errPicky) || err.Error() != "1 of 2 replies could not be judged, the first of them number 2: not to my taste" {
		t.Errorf("%v, %v", out, err)
	}
	some, ok := errors.AsType[*PartialError](err)
	if !ok || !cmp.Equal(some.Scores, []float64{1}) {
		t.Errorf("%+v", some)
	}
}

func TestJudgeErrors(t *testing.T) {
	cause := errors.New("cause")
	for name, score := range map[string]func([]Sample) ([]float64, error){
		"fails":   func([]Sample) ([]float64, error) { return nil, cause },
		"too few": func([]Sample) ([]float64, error) { return []float64{1}, nil },
		"too many": func([]Sample) ([]float64, error) {
			return nil, &PartialError{Failures: []Failure{{0, cause}}, Scores: []float64{1, 2}}
		},
		"infinite": func([]Sample) ([]float64, error) { return []float64{1, math.Inf(1)}, nil },
		"no index": func([]Sample) ([]float64, error) {
			return nil, &PartialError{Failures: []Failure{{7, cause}}, Scores: []float64{1}}
		},
	} {
		r := newSum([]term{{"terms[0]", "fake", 1, fake{score: score}}})
		if j, err := Judge(t.Context(), r, make([]Sample, 2), 1); err == nil || j != nil {
			t.Errorf("%s: %+v passes", name, j)
		}
	}
}

// However terms fail, a sample is judged exactly if no term fails on it, and its
// score is the weighted sum of its terms'.
func TestJudgeAddsUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		letters := "abcdefgh"
		var texts []string
		for range rng.IntN(12) {
			var b strings.Builder
			for range rng.IntN(4) {
				b.WriteByte(letters[rng.IntN(len(letters))])
			}
			texts = append(texts, b.String())
		}
		var terms []term
		var bad string
		for range rng.IntN(4) + 1 {
			c := letters[rng.IntN(len(letters))]
			bad += string(c)
			terms = append(terms, term{"", string(c), rng.NormFloat64(), picky(string(c))})
		}
		j, err := Judge(t.Context(), newSum(terms), repliesOf(texts...), 1)
		if err != nil {
			t.Fatal(err)
		}
		failed := map[int]bool{}
		for _, f := range j.Failures {
			failed[f.Sample] = true
		}
		k := 0
		for i, text := range texts {
			if strings.ContainsAny(text, bad) {
				if !failed[i] {
					t.Fatalf("%q passes %q", text, bad)
				}
				continue
			}
			if failed[i] || j.Judged[k] != i {
				t.Fatalf("%q fails %q", text, bad)
			}
			sum := 0.0
			for n, term := range terms {
				sum += term.weight * j.Terms[n].Scores[k]
			}
			if math.Abs(sum-j.Scores[k]) > 1e-12 {
				t.Fatalf("score %v, terms add up to %v", j.Scores[k], sum)
			}
			k++
		}
		if k != len(j.Scores) || len(j.Judged)+len(j.Failures) != len(texts) {
			t.Fatalf("%+v of %q", j, texts)
		}
	}
}

// Every reward that New builds reports on terms under names that are all
// different.
func TestTermNames(t *testing.T) {
	for _, tc := range []struct {
		spec Spec
		want []string
	}{
		{Spec{Type: TypeVADER}, []string{"vader"}},
		{Spec{Type: TypeVADER, Weight: new(3.0)}, []string{"vader"}},
		{Spec{Type: TypeSum, Weight: new(3.0), Terms: []Spec{
			firstPerson(), {Type: TypeVADER}, firstPerson(), {Type: TypeRegexp, Name: "regexp_2", Pattern: "x", PerMatch: 1}, {Type: TypeVADER, Name: "joy"},
			{Type: TypeSum, Name: "style", Terms: []Spec{{Type: TypeLength}, {Type: TypeSum, Terms: []Spec{{Type: TypeLength}}}}},
		}}, []string{"regexp", "vader", "regexp_3", "regexp_2", "joy", "style", "style/length", "style/sum", "style/sum/length"}},
	} {
		j, err := Judge(t.Context(), build(t, tc.spec), repliesOf("I am"), 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, term := range j.Terms {
			got = append(got, term.Name)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// closing counts how often it is closed.
type closing struct{ n *int }

func (c closing) Score(context.Context, []Sample) ([]float64, error) { return nil, nil }

func (c closing) Close() error { *c.n++; return errPicky }

func TestCloseReachesTerms(t *testing.T) {
	n := 0
	r := newSum([]term{{reward: textReward(vader)}, {reward: closing{&n}}, {reward: newSum([]term{{reward: closing{&n}}})}})
	if err := r.(io.Closer).Close(); n != 2 || !errors.Is(err, errPicky) {
		t.Errorf("closed %d of 2: %v", n, err)
	}
	if err := build(t, Spec{Type: TypeVADER}).(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}
