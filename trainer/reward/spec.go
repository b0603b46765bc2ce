package reward

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Types of reward.
const (
	TypeVADER      = "vader"      // sentiment of the reply, in [−1, 1]
	TypeRegexp     = "regexp"     // per_match for every match of pattern in the reply
	TypeLength     = "length"     // length of the reply in a unit, or its distance from a target
	TypeDistinct   = "distinct"   // distinct-n within the reply, in [0, 1]
	TypeRepetition = "repetition" // minus the share of sentences said before, in [−1, 0]
	TypeLexicon    = "lexicon"    // sum of the weights of the reply's words
	TypeHead       = "head"       // what a head trained on human feedback says of the LLM's own states
	TypeHTTP       = "http"       // what a server says (OpenRLHF's contract)
	TypeOllama     = "ollama"     // what a language model says, from 0 to 1
	TypeCommand    = "command"    // what a program says that reads and writes JSON lines
	TypeSum        = "sum"        // weighted sum of terms
)

// Types lists the types of reward.
func Types() []string { return slices.Sorted(maps.Keys(fieldsOf)) }

// Defaults of the rewards that ask somebody else.
const (
	DefaultTimeout   = 3 * time.Minute
	DefaultRetries   = 4
	DefaultRetryWait = 500 * time.Millisecond
)

// Spec describes a reward in configuration. Type and the fields of that type
// are set and the others are left at their zero values. It is a plain value:
// copy it freely, but do not change one that others read.
type Spec struct {
	// Type is one of Types.
	Type string `mapstructure:"type" yaml:"type"`
	// Name is what a term of a sum is called in metrics; "" is its type, with a
	// number where an earlier term has that name. Only terms have one.
	Name string `mapstructure:"name" yaml:"name,omitempty"`
	// Weight multiplies the reward; nil is 1. Less than 0 turns it round.
	Weight *float64 `mapstructure:"weight" yaml:"weight,omitempty"`

	// Terms are the summands of sum, at least one. Sums may be nested.
	Terms []Spec `mapstructure:"terms" yaml:"terms,omitempty"`

	// Pattern is the regular expression of regexp, in Go's syntax; for example
	// FirstPerson.
	Pattern string `mapstructure:"pattern" yaml:"pattern,omitempty"`
	// IgnoreCase makes the whole pattern of regexp match in any case. For a part
	// of it write (?i:…).
	IgnoreCase bool `mapstructure:"ignore_case" yaml:"ignore_case,omitempty"`
	// PerMatch is what each match adds. It has no default, since its sign decides
	// whether matches are sought or shunned.
	PerMatch float64 `mapstructure:"per_match" yaml:"per_match,omitempty"`

	// Unit is what length counts: words, characters, words_per_sentence or
	// word_length; "" is words.
	Unit string `mapstructure:"unit" yaml:"unit,omitempty"`
	// Target is the length sought, in units: the reward is −|length−target|/target.
	// At 0 the reward is the length: the more the better, or with a weight below
	// 0 the less.
	Target float64 `mapstructure:"target" yaml:"target,omitempty"`

	// N is the length, in words, of the runs that distinct counts; 0 is DefaultN.
	N int `mapstructure:"n" yaml:"n,omitempty"`

	// Words are the weights of lexicon, of words or of phrases of several. Case
	// does not count.
	Words map[string]float64 `mapstructure:"words" yaml:"words,omitempty"`
	// WordsFile is a file of the weights of lexicon instead: a JSON object if it
	// ends in .json, or lines of a word, a tab and its weight. Its path starts
	// from the folder that the program runs in.
	WordsFile string `mapstructure:"words_file" yaml:"words_file,omitempty"`
	// Unlisted is the weight of every word that lexicon does not know.
	Unlisted float64 `mapstructure:"unlisted" yaml:"unlisted,omitempty"`

	// Head is the file of head, which proxy-trainer reward makes.
	Head string `mapstructure:"head" yaml:"head,omitempty"`

	// Model is the model that judges, as the server of ollama calls it.
	Model string `mapstructure:"model" yaml:"model,omitempty"`
	// Rubric tells the model of ollama what a good reply is and what a bad one.
	Rubric string `mapstructure:"rubric" yaml:"rubric,omitempty"`
	// Scale is the best score that the model of ollama may give; the worst is 1.
	// The reward is where its score lies between the two, from 0 to 1; 0 is
	// DefaultScale.
	Scale int `mapstructure:"scale" yaml:"scale,omitempty"`
	// Parallel is how many replies ollama judges at once; 0 is DefaultParallel.
	Parallel int `mapstructure:"parallel" yaml:"parallel,omitempty"`

	// Command is the program of command and its arguments. It is looked for in
	// the PATH and is no shell's.
	Command []string `mapstructure:"command" yaml:"command,omitempty"`

	// URL is where http posts, and the server of ollama ("" is DefaultJudgeURL),
	// with http or https.
	URL string `mapstructure:"url" yaml:"url,omitempty"`
	// Timeout bounds one try of http or ollama, from connecting to the last byte,
	// and the wait for one answer of command; 0 is DefaultTimeout.
	Timeout time.Duration `mapstructure:"timeout" yaml:"timeout,omitempty"`
	// Retries is how often http and ollama try again after a failure that may
	// pass (no connection, time-out, 408, 429, 5xx); 0 is DefaultRetries, −1 is
	// never.
	Retries int `mapstructure:"retries" yaml:"retries,omitempty"`
	// RetryWait is the wait before the second try. It doubles with each and is
	// varied by a half at random, so that workers do not return together; 0 is
	// DefaultRetryWait.
	RetryWait time.Duration `mapstructure:"retry_wait" yaml:"retry_wait,omitempty"`
	// Headers are added to each request. $NAME and ${NAME} in a value stand for
	// environment variables, so that tokens stay out of saved configurations.
	Headers map[string]string `mapstructure:"headers" yaml:"headers,omitempty"`
}

// fieldsOf lists the fields that a type reads, beside type, name and weight.
var fieldsOf = map[string][]string{
	TypeVADER:      {},
	TypeRegexp:     {"pattern", "ignore_case", "per_match"},
	TypeLength:     {"unit", "target"},
	TypeDistinct:   {"n"},
	TypeRepetition: {},
	TypeLexicon:    {"words", "words_file", "unlisted"},
	TypeHead:       {"head"},
	TypeHTTP:       {"url", "timeout", "retries", "retry_wait", "headers"},
	TypeOllama:     {"url", "model", "rubric", "scale", "parallel", "timeout", "retries", "retry_wait", "headers"},
	TypeCommand:    {"command", "timeout"},
	TypeSum:        {"terms"},
}

// HasPrefixes reports whether some part of the reward exists on prefixes of a
// reply, as OnPrefixes says of what New builds.
func (s Spec) HasPrefixes() bool {
	switch s.Type {
	case TypeHTTP, TypeOllama, TypeCommand:
		return false
	case TypeSum:
		return slices.ContainsFunc(s.Terms, Spec.HasPrefixes)
	}
	return true
}

// set lists the fields that are not at their zero values, beside type, name and
// weight, in the order of Spec.
func (s Spec) set() []string {
	var names []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"terms", len(s.Terms) > 0},
		{"pattern", s.Pattern != ""}, {"ignore_case", s.IgnoreCase}, {"per_match", s.PerMatch != 0},
		{"unit", s.Unit != ""}, {"target", s.Target != 0},
		{"n", s.N != 0},
		{"words", len(s.Words) > 0}, {"words_file", s.WordsFile != ""}, {"unlisted", s.Unlisted != 0},
		{"head", s.Head != ""},
		{"model", s.Model != ""}, {"rubric", s.Rubric != ""}, {"scale", s.Scale != 0}, {"parallel", s.Parallel != 0},
		{"command", len(s.Command) > 0},
		{"url", s.URL != ""}, {"timeout", s.Timeout != 0}, {"retries", s.Retries != 0},
		{"retry_wait", s.RetryWait != 0}, {"headers", len(s.Headers) > 0},
	} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return names
}

// Validate names the first field that is wrong. A field that the type does not
// read is wrong too: it would do nothing without a word.
func (s Spec) Validate() error {
	err := s.validate()
	if err == nil && s.Name != "" {
		err = fmt.Errorf("name: %q: only terms of a sum have names; remove it", s.Name)
	}
	if err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	return nil
}

func (s Spec) validate() error {
	reads, ok := fieldsOf[s.Type]
	if !ok {
		return fmt.Errorf("type: unknown type %q; the types are %s", s.Type, known(fieldsOf))
	}
	for _, name := range s.set() {
		if !slices.Contains(reads, name) {
			return fmt.Errorf("%s: type %q has no such field; remove it, or take a type that has it: %s", name, s.Type, readers(name))
		}
	}
	if s.Weight != nil && !isFinite(*s.Weight) {
		return fmt.Errorf("weight: %v is not a finite number", *s.Weight)
	}
	switch s.Type {
	case TypeRegexp:
		return s.validateRegexp()
	case TypeLength:
		return s.validateLength()
	case TypeDistinct:
		return s.validateDistinct()
	case TypeLexicon:
		return s.validateLexicon()
	case TypeHead:
		return s.validateHead()
	case TypeHTTP:
		return s.validateHTTP()
	case TypeOllama:
		return s.validateOllama()
	case TypeCommand:
		return s.validateCommand()
	case TypeSum:
		return s.validateSum()
	}
	return nil
}

// readers lists the types that read a field.
func readers(field string) string {
	return strings.Join(slices.DeleteFunc(Types(), func(t string) bool { return !slices.Contains(fieldsOf[t], field) }), ", ")
}

func (s Spec) validateRegexp() error {
	if s.Pattern == "" {
		return errors.New("pattern: empty; give a regular expression in Go's syntax")
	}
	if _, err := s.compile(); err != nil {
		return fmt.Errorf("pattern: %w", err)
	}
	if s.PerMatch == 0 || !isFinite(s.PerMatch) {
		return fmt.Errorf("per_match: %v; give what a match adds, such as -1", s.PerMatch)
	}
	return nil
}

func (s Spec) validateLength() error {
	if _, ok := measures[s.unit()]; !ok {
		return fmt.Errorf("unit: unknown unit %q; the units are %s", s.Unit, known(measures))
	}
	if s.Target < 0 || !isFinite(s.Target) {
		return fmt.Errorf("target: %v; want a length above 0, or 0 for the more the better", s.Target)
	}
	return nil
}

func (s Spec) validateDistinct() error {
	if s.N < 0 {
		return fmt.Errorf("n: %d; want 1 or more words in a row, or 0 (the default, %d)", s.N, DefaultN)
	}
	return nil
}

func (s Spec) validateHTTP() error {
	if err := s.validateURL("http://127.0.0.1:5000/get_reward"); err != nil {
		return err
	}
	return s.validateTries()
}

func (s Spec) validateURL(example string) error {
	u, err := url.Parse(s.URL)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("url: %q; want one like %s", u.Redacted(), example)
	}
	return nil
}

func (s Spec) validateTimeout() error {
	if s.Timeout < 0 {
		return fmt.Errorf("timeout: %v; want more than 0, or 0 (the default, %v)", s.Timeout, DefaultTimeout)
	}
	return nil
}

func (s Spec) validateTries() error {
	if s.Retries < -1 {
		return fmt.Errorf("retries: %d; want -1 (never), 0 (the default, %d) or more", s.Retries, DefaultRetries)
	}
	if s.RetryWait < 0 {
		return fmt.Errorf("retry_wait: %v; want more than 0, or 0 (the default, %v)", s.RetryWait, DefaultRetryWait)
	}
	return s.validateTimeout()
}

// termName is what metrics can be called: no slash, which divides their names.
var termName = regexp.MustCompile(`^[\p{L}\p{N}_.-]{1,40}$`)

func (s Spec) validateSum() error {
	if len(s.Terms) == 0 {
		return errors.New("terms: empty; a sum needs at least one term")
	}
	names := make(map[string]int)
	for i, t := range s.Terms {
		if err := t.validate(); err != nil {
			return fmt.Errorf("terms[%d]: %w", i, err)
		}
		if t.Name == "" {
			continue
		}
		if !termName.MatchString(t.Name) {
			return fmt.Errorf("terms[%d]: name: %q; want 1 to 40 letters, digits, dots, hyphens and underscores", i, t.Name)
		}
		if first, taken := names[t.Name]; taken {
			return fmt.Errorf("terms[%d]: name: %q is the name of terms[%d]; give it another", i, t.Name, first)
		}
		names[t.Name] = i
	}
	return nil
}

// New builds the reward that s describes. It is a Prefixer if every part of it
// exists on prefixes, and an io.Closer, which must be closed. New reads the file
// of a lexicon or a head, but contacts no server and starts no program.
func New(s Spec) (Reward, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	r, err := s.buildTop()
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	return r, nil
}

// buildTop makes the reward of a valid spec, with its weight.
func (s Spec) buildTop() (Reward, error) {
	if s.Type == TypeSum {
		return s.buildSum(s.weight())
	}
	r, err := s.build()
	return newSum([]term{{name: s.Type, weight: s.weight(), reward: r}}), err
}

// build makes the reward of a valid spec, without its weight.
func (s Spec) build() (Reward, error) {
	switch s.Type {
	case TypeVADER:
		return textReward(vader), nil
	case TypeRegexp:
		re, err := s.compile()
		if err != nil {
			return nil, fmt.Errorf("pattern: %w", err)
		}
		return matches(re, s.PerMatch), nil
	case TypeLength:
		return length(measures[s.unit()], s.Target), nil
	case TypeDistinct:
		return distinct(cmp.Or(s.N, DefaultN)), nil
	case TypeRepetition:
		return textReward(repetition), nil
	case TypeLexicon:
		return s.buildLexicon()
	case TypeHead:
		return newHead(s.Head)
	case TypeHTTP:
		return newRemote(s)
	case TypeOllama:
		return newLLMJudge(s)
	case TypeCommand:
		return newCommand(s), nil
	}
	return s.buildSum(1)
}

// buildSum makes a sum of which every weight is multiplied by factor.
func (s Spec) buildSum(factor float64) (Reward, error) {
	terms := make([]term, len(s.Terms))
	names := s.termNames()
	for i, t := range s.Terms {
		place := fmt.Sprintf("terms[%d]", i)
		r, err := t.build()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		terms[i] = term{place: place, name: names[i], weight: factor * t.weight(), reward: r}
	}
	return newSum(terms), nil
}

// termNames returns a name for each term: its own, or else its type, with the
// first number from 2 that makes it the only one of that name.
func (s Spec) termNames() []string {
	taken := make(map[string]bool)
	for _, t := range s.Terms {
		taken[t.Name] = true
	}
	names := make([]string, len(s.Terms))
	for i, t := range s.Terms {
		names[i] = t.Name
		for n := 1; taken[names[i]] && t.Name == ""; n++ {
			names[i] = t.Type
			if n > 1 {
				names[i] = fmt.Sprintf("%s_%d", t.Type, n)
			}
		}
		taken[names[i]] = true
	}
	return names
}

func (s Spec) weight() float64 {
	if s.Weight == nil {
		return 1
	}
	return *s.Weight
}

func (s Spec) unit() string { return cmp.Or(s.Unit, UnitWords) }

func (s Spec) compile() (*regexp.Regexp, error) {
	if s.IgnoreCase {
		return regexp.Compile("(?i)" + s.Pattern)
	}
	return regexp.Compile(s.Pattern)
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func known[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
