package reward

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestLexicon(t *testing.T) {
	weights := map[string]float64{
		"good": 1, "Bad": -1, "not good": -2, "not good at all": -4, "can't stand": -3, "can't": -.5, "straße": 8, "well-known": 16, "ok": 32,
	}
	for _, tc := range []struct {
		reply string
		want  float64
	}{
		{"", 0},
		{"Good GOOD good, goods", 3}, // whole words
		{"bad Badly BAD", -2},
		{"goodness of fit; good-natured", 1},
		{"not good", -2},
		{"It is not good at all. Good!", -3},
		{"not good at most", -2},
		{"not, good", 1}, // no phrase goes across a pause
		{"Not\n good", -2},
		{"I can’t stand it, I can't", -3.5},
		{"'good' \"bad\" (ok)", 32},
		{"STRASSE Straße", 16},
		{"well known, well-known, well. Known", 32},
		{"good\xff", 1},
		{"goo\xffd", 0},
	} {
		r := build(t, Spec{Type: TypeLexicon, Words: weights})
		if got := scoreOf(t, r, tc.reply); got != tc.want {
			t.Errorf("%q: %v, want %v", tc.reply, got, tc.want)
		}
	}
}

func TestLexiconUnlisted(t *testing.T) {
	r := build(t, Spec{Type: TypeLexicon, Words: map[string]float64{"a": 0, "plain word": 0}, Unlisted: -1})
	for reply, want := range map[string]float64{"A plain word.": 0, "a plain, word, a": -2, "An abstruse one": -3, "...": 0} {
		if got := scoreOf(t, r, reply); got != want {
			t.Errorf("%q: %v, want %v", reply, got, want)
		}
	}
}

func TestLexiconFile(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name, text, want string // want: of the error; "" = none
	}{
		{"a.json", `{"good": 1, "not good": -2.5}`, ""},
		{"a.JSON", "{\"good\":1e0,\n\"not good\":-2.5}\n", ""},
		{"a.tsv", "# word\tweight\n\ngood\t1\nnot good\t-2.5\t0.5\t[1, 2]\r\n", ""},
		{"a.txt", "good\t 1\nnot good\t-2.5", ""},
		{"b.tsv", "good\t1\nbad -1\n", `line 2: "bad -1" has no tab`},
		{"c.tsv", "good\tone\n", `line 1: "one" is not a finite number`},
		{"d.tsv", "good\tInf\n", `line 1: "Inf" is not a finite number`},
		{"e.tsv", "good\t1\nbad\t2\ngood\t1", `line 3: "good" is there twice`},
		{"f.tsv", "# nothing\n", "there is no word in it"},
		{"g.tsv", ":)\t1\n", `":)" is not a word`},
		{"h.json", `{"good": null}`, `"good": null is no weight`},
		{"i.json", `["good"]`, "want a JSON object"},
		{"j.json", `{}`, "there is no word in it"},
	} {
		path := filepath.Join(dir, tc.name)
		if err := os.WriteFile(path, []byte(tc.text), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := New(Spec{Type: TypeLexicon, WordsFile: path})
		if tc.want != "" {
			if err == nil || !strings.HasPrefix(err.Error(), "reward: words_file: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: error %v, want %q", tc.name, err, tc.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if got := scoreOf(t, r, "Not good, good"); got != -1.5 {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	_, err := New(Spec{Type: TypeSum, Terms: []Spec{{Type: TypeVADER}, {Type: TypeLexicon, WordsFile: filepath.Join(dir, "none")}}})
	if err == nil || !strings.HasPrefix(err.Error(), "reward: terms[1]: words_file: open ") {
		t.Errorf("no file: %v", err)
	}
}

// What a file says is read as it is written, or refused.
func FuzzLexiconFile(f *testing.F) {
	for _, seed := range []string{"good\t1\nnot good\t-2.5\t0.5\n", "{\"good\": 1}", "#\n\t\n", "a\tNaN", "\xff\t1", "{\"a\":1e999}", "A\t1\na\t2"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (map[string]float64, error){parseTSV, parseJSON} {
			weights, err := parse(data)
			if err != nil {
				continue
			}
			for w, x := range weights {
				if !isFinite(x) {
					t.Fatalf("%q weighs %v", w, x)
				}
			}
			l, err := newLexicon(weights, 0)
			if err != nil {
				continue
			}
			for w, x := range weights {
				if got := l.score(w); got != x {
					t.Fatalf("%q weighs %v, its text scores %v", w, x, got)
				}
			}
		}
	})
}

// Words and pauses alternate rightly whatever the text, and nothing is lost.
func FuzzWordsOf(f *testing.F) {
	for _, seed := range []string{"I can't, can’t stand 'it'.", "--- a - b; c", "ΣΑΣ straße", "a\xffb", "'", "a'", "o'c'k"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := wordsOf(text)
		if len(words) > 0 && (words[0] == pause || words[len(words)-1] == pause) {
			t.Fatalf("%q begins or ends with a pause: %q", text, words)
		}
		for i, w := range words {
			if w == pause && words[i-1] == pause {
				t.Fatalf("%q has two pauses: %q", text, words)
			}
		}
		if !utf8.ValidString(text) {
			return
		}
		words = slices.DeleteFunc(words, func(w string) bool { return w == pause })
		if diff := cmp.Diff(words, slices.DeleteFunc(wordsOf(strings.Join(words, " ")), func(w string) bool { return w == pause }), cmp.Transformer("nil", func(w []string) string { return strings.Join(w, "|") })); diff != "" {
			t.Fatalf("%q (-once +twice):\n%s", text, diff)
		}
	})
}

func BenchmarkDenseLexicon(b *testing.B) {
	r, err := New(Spec{Type: TypeLexicon, Words: map[string]float64{"happy": 1, "not happy": -1}})
	if err != nil {
		b.Fatal(err)
	}
	pieces := strings.SplitAfter(strings.Repeat("I am so happy to hear that you are not feeling sad any more. ", 8), " ")
	b.ReportAllocs()
	for b.Loop() {
		out, err := Dense(r.(Prefixer), Trace{Prompt: "", Pieces: pieces})
		if err != nil || math.IsNaN(out[0]) {
			b.Fatal(out, err)
		}
	}
}
