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
	TypeVADER  = "vader"  // sentiment of the reply, in [−1, 1]
	TypeRegexp = "regexp" // per_match for every match of pattern in the reply
	TypeLength = "length" // length of the reply in a unit, or its distance from a target
	TypeHTTP   = "http"   // what a server says (OpenRLHF's contract)
	TypeSum    = "sum"    // weighted sum of terms
)

// Defaults of the http reward.
const (
	DefaultTimeout   = 3 * time.Minute
	DefaultRetries   = 4
	DefaultRetryWait = 500 * time.Millisecond
)

// Spec describes a reward in configuration. Type and the fields of that type
// are set and the others are left at their zero values. It is a plain value:
// copy it freely, but do not change one that others read.
type Spec struct {
	// Type is vader, regexp, length, http or sum.
	Type string `mapstructure:"type" yaml:"type"`
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

	// Unit is what length counts: words, characters or words_per_sentence; "" is
	// words.
	Unit string `mapstructure:"unit" yaml:"unit,omitempty"`
	// Target is the length sought, in units: the reward is −|length−target|/target.
	// At 0 the reward is the length: the more the better, or with a weight below
	// 0 the less.
	Target float64 `mapstructure:"target" yaml:"target,omitempty"`

	// URL is where http posts, with http or https.
	URL string `mapstructure:"url" yaml:"url,omitempty"`
	// Timeout bounds one try, from connecting to the last byte; 0 is
	// DefaultTimeout.
	Timeout time.Duration `mapstructure:"timeout" yaml:"timeout,omitempty"`
	// Retries is how often http tries again after a failure that may pass (no
	// connection, time-out, 408, 429, 5xx); 0 is DefaultRetries, −1 is never.
	Retries int `mapstructure:"retries" yaml:"retries,omitempty"`
	// RetryWait is the wait before the second try. It doubles with each and is
	// varied by a half at random, so that workers do not return together; 0 is
	// DefaultRetryWait.
	RetryWait time.Duration `mapstructure:"retry_wait" yaml:"retry_wait,omitempty"`
	// Headers are added to each request. $NAME and ${NAME} in a value stand for
	// environment variables, so that tokens stay out of saved configurations.
	Headers map[string]string `mapstructure:"headers" yaml:"headers,omitempty"`
}

// fieldsOf lists the fields that a type reads, beside type and weight.
var fieldsOf = map[string][]string{
	TypeVADER:  {},
	TypeRegexp: {"pattern", "ignore_case", "per_match"},
	TypeLength: {"unit", "target"},
	TypeHTTP:   {"url", "timeout", "retries", "retry_wait", "headers"},
	TypeSum:    {"terms"},
}

// set lists the fields that are not at their zero values, beside type and
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
	if err := s.validate(); err != nil {
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
			return fmt.Errorf("%s: type %q has no such field; remove it", name, s.Type)
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
	case TypeHTTP:
		return s.validateHTTP()
	case TypeSum:
		return s.validateSum()
	}
	return nil
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

func (s Spec) validateHTTP() error {
	u, err := url.Parse(s.URL)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("url: %q; want one like http://127.0.0.1:5000/get_reward", u.Redacted())
	}
	if s.Timeout < 0 {
		return fmt.Errorf("timeout: %v is below 0", s.Timeout)
	}
	if s.Retries < -1 {
		return fmt.Errorf("retries: %d; want -1 (never), 0 (the default, %d) or more", s.Retries, DefaultRetries)
	}
	if s.RetryWait < 0 {
		return fmt.Errorf("retry_wait: %v is below 0", s.RetryWait)
	}
	return nil
}

func (s Spec) validateSum() error {
	if len(s.Terms) == 0 {
		return errors.New("terms: empty; a sum needs at least one term")
	}
	for i, t := range s.Terms {
		if err := t.validate(); err != nil {
			return fmt.Errorf("terms[%d]: %w", i, err)
		}
	}
	return nil
}

// New builds the reward that s describes. It is a Prefixer unless s is of type
// http or has a term that is. New does not contact the server of an http reward.
func New(s Spec) (Reward, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	r, err := s.build()
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	if w := s.weight(); w != 1 {
		return newSum([]term{{name: s.Type, weight: w, reward: r}}), nil
	}
	return r, nil
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
	case TypeHTTP:
		return newRemote(s)
	}
	terms := make([]term, len(s.Terms))
	for i, t := range s.Terms {
		name := fmt.Sprintf("terms[%d]", i)
		r, err := t.build()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		terms[i] = term{name: name, weight: t.weight(), reward: r}
	}
	return newSum(terms), nil
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
