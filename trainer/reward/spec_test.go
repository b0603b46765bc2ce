package reward

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		spec Spec
		want string // the start of the error; "" = valid
	}{
		{Spec{Type: "vader"}, ""},
		{Spec{Type: "vader", Weight: new(0.0)}, ""},
		{Spec{Type: "http", URL: "https://example.org/get_reward", Retries: -1}, ""},
		{Spec{}, `reward: type: unknown type ""; the types are command, distinct, head, http, length, lexicon, ollama, regexp, repetition, sum, vader`},
		{Spec{Type: "vaders"}, "reward: type: unknown"},
		{Spec{Type: "vader", Pattern: "a"}, `reward: pattern: type "vader" has no such field; remove it, or take a type that has it: regexp`},
		{Spec{Type: "vader", Weight: new(math.NaN())}, "reward: weight"},
		{Spec{Type: "regexp", PerMatch: -1}, "reward: pattern: empty"},
		{Spec{Type: "regexp", Pattern: "(", PerMatch: -1}, "reward: pattern: error parsing"},
		{Spec{Type: "regexp", Pattern: "a)(b", IgnoreCase: true, PerMatch: -1}, "reward: pattern: error parsing"},
		{Spec{Type: "regexp", Pattern: "a"}, "reward: per_match"},
		{Spec{Type: "regexp", Pattern: "a", PerMatch: math.Inf(1)}, "reward: per_match"},
		{Spec{Type: "length", Unit: "tokens"}, `reward: unit: unknown unit "tokens"; the units are characters, word_length, words, words_per_sentence`},
		{Spec{Type: "length", Target: -1}, "reward: target"},
		{Spec{Type: "length", PerMatch: 1}, "reward: per_match: type"},
		{Spec{Type: "length", Timeout: 1}, "reward: timeout: type"},
		{Spec{Type: "http"}, `reward: url: ""`},
		{Spec{Type: "http", URL: "localhost:5000"}, "reward: url"},
		{Spec{Type: "http", URL: "http://"}, "reward: url"},
		{Spec{Type: "http", URL: "http://a b"}, "reward: url"},
		{Spec{Type: "http", URL: "http://a", Timeout: -1}, "reward: timeout"},
		{Spec{Type: "http", URL: "http://a", Retries: -2}, "reward: retries"},
		{Spec{Type: "http", URL: "http://a", RetryWait: -1}, "reward: retry_wait"},
		{Spec{Type: "http", URL: "http://a", Target: 1}, "reward: target: type"},
		{Spec{Type: "vader", Name: "a"}, `reward: name: "a": only terms`},
		{Spec{Type: "distinct"}, ""},
		{Spec{Type: "distinct", N: 3}, ""},
		{Spec{Type: "distinct", N: -1}, "reward: n: -1; want 1"},
		{Spec{Type: "repetition", N: 1}, `reward: n: type "repetition" has no such field`},
		{Spec{Type: "lexicon", Words: map[string]float64{"good": 1}}, ""},
		{Spec{Type: "lexicon"}, "reward: words: empty"},
		{Spec{Type: "lexicon", Words: map[string]float64{"a": 1}, WordsFile: "b"}, "reward: words_file: there are words as well"},
		{Spec{Type: "lexicon", Words: map[string]float64{"a. b": 1}}, `reward: words: "a. b" is not a word`},
		{Spec{Type: "lexicon", Words: map[string]float64{":)": 1}}, `reward: words: ":)" is not a word`},
		{Spec{Type: "lexicon", Words: map[string]float64{"A": 1, "a": 1}}, `reward: words: "A" and "a" are the same`},
		{Spec{Type: "lexicon", Words: map[string]float64{"a": math.NaN()}}, `reward: words: "a": NaN`},
		{Spec{Type: "lexicon", Words: map[string]float64{"a": 1}, Unlisted: math.Inf(1)}, "reward: unlisted: +Inf"},
		{Spec{Type: "ollama", Model: "m", Rubric: "r"}, ""},
		{Spec{Type: "ollama", Rubric: "r"}, "reward: model: empty"},
		{Spec{Type: "ollama", Model: "m", Rubric: " "}, "reward: rubric: empty"},
		{Spec{Type: "ollama", Model: "m", Rubric: "r", URL: "gpu:11434"}, `reward: url: "gpu:11434"; want one like http://127.0.0.1:11434`},
		{Spec{Type: "ollama", Model: "m", Rubric: "r", Scale: 1}, "reward: scale: 1; want 2 to 100"},
		{Spec{Type: "ollama", Model: "m", Rubric: "r", Scale: 101}, "reward: scale: 101"},
		{Spec{Type: "ollama", Model: "m", Rubric: "r", Parallel: -1}, "reward: parallel: -1"},
		{Spec{Type: "ollama", Model: "m", Rubric: "r", Retries: -2}, "reward: retries: -2"},
		{Spec{Type: "command", Command: []string{"x", ""}}, ""},
		{Spec{Type: "command"}, "reward: command: empty"},
		{Spec{Type: "command", Command: []string{""}}, "reward: command: empty"},
		{Spec{Type: "command", Command: []string{"x"}, Timeout: -1}, "reward: timeout: -1ns"},
		{Spec{Type: "sum", Terms: []Spec{{Type: "vader", Name: "a/b"}}}, `reward: terms[0]: name: "a/b"; want`},
		{Spec{Type: "sum", Terms: []Spec{{Type: "vader"}, {Type: "vader", Name: "vader"}}}, ""},
		{Spec{Type: "sum", Terms: []Spec{{Type: "vader", Name: "a"}, {Type: "vader"}, {Type: "vader", Name: "a"}}}, `reward: terms[2]: name: "a" is the name of terms[0]`},
		{Spec{Type: "sum"}, "reward: terms: empty"},
		{Spec{Type: "vader", Terms: []Spec{{Type: "vader"}}}, "reward: terms: type"},
		{Spec{Type: "sum", Terms: []Spec{{Type: "vader"}, {Type: "sum", Terms: []Spec{{Type: "regexp"}}}}}, "reward: terms[1]: terms[0]: pattern: empty"},
	} {
		err := tc.spec.Validate()
		_, newErr := New(tc.spec)
		if tc.want == "" {
			if err != nil || newErr != nil {
				t.Errorf("%+v: %v, %v", tc.spec, err, newErr)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || newErr == nil || newErr.Error() != err.Error() {
			t.Errorf("%+v: Validate %v, New %v; want %q", tc.spec, err, newErr, tc.want)
		}
	}
}

// Every field but type, name and weight belongs to a type, and Spec.set sees it.
func TestFieldsBelongToTypes(t *testing.T) {
	full := Spec{Terms: []Spec{{}}, Pattern: "a", IgnoreCase: true, PerMatch: 1, Head: "a", Unit: "a", Target: 1, URL: "a",
		N: 1, Words: map[string]float64{"a": 1}, WordsFile: "a", Unlisted: 1, Model: "a", Rubric: "a", Scale: 1, Parallel: 1, Command: []string{"a"},
		Timeout: 1, Retries: 1, RetryWait: 1, Headers: map[string]string{"a": "b"}}
	var tags map[string]any
	if err := mapstructure.Decode(full, &tags); err != nil {
		t.Fatal(err)
	}
	want, of := map[string]bool{}, map[string]bool{}
	for tag := range tags {
		want[tag] = true
	}
	delete(want, "type")
	delete(want, "weight")
	delete(want, "name")
	got := map[string]bool{}
	for _, name := range full.set() {
		got[name] = true
	}
	for _, names := range fieldsOf {
		for _, name := range names {
			of[name] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("set (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, of); diff != "" {
		t.Errorf("fieldsOf (-want +got):\n%s", diff)
	}
}

// A specification survives the way through YAML, as a saved configuration, and
// through mapstructure, as a read one.
func TestSpecInConfiguration(t *testing.T) {
	const text = `
type: sum
terms:
  - type: regexp
    pattern: '\bI\b|(?i:\b(?:my|me|mine|myself)\b)'
    per_match: -1
  - type: vader
    weight: 0
  - type: http
    url: http://127.0.0.1:5000/get_reward
    timeout: 90s
    retry_wait: 1m
    headers: {Authorization: Bearer $TOKEN}
`
	want := Spec{Type: TypeSum, Terms: []Spec{
		firstPerson(),
		{Type: TypeVADER, Weight: new(0.0)},
		{Type: TypeHTTP, URL: "http://127.0.0.1:5000/get_reward", Timeout: 90 * time.Second, RetryWait: time.Minute, Headers: map[string]string{"Authorization": "Bearer $TOKEN"}},
	}}
	var direct, saved, read Spec
	if err := yaml.Unmarshal([]byte(text), &direct); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(direct)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(out, &saved); err != nil {
		t.Fatal(err)
	}
	var generic map[string]any
	if err := yaml.Unmarshal(out, &generic); err != nil {
		t.Fatal(err)
	}
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: &read, ErrorUnused: true, DecodeHook: mapstructure.StringToTimeDurationHookFunc()})
	if err != nil {
		t.Fatal(err)
	}
	if err := dec.Decode(generic); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]Spec{"yaml": direct, "saved": saved, "mapstructure": read} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
