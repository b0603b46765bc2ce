package reward

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
)

// lexicon gives a weight to words. Entries of several words are phrases, and
// the longest that fits at a place is taken there.
type lexicon struct {
	entries  map[string][]entry // by the first word, the longest first
	unlisted float64            // of a word that begins no entry that fits
}

type entry struct {
	words  []string
	weight float64
}

func newLexicon(weights map[string]float64, unlisted float64) (*lexicon, error) {
	l := &lexicon{entries: make(map[string][]entry), unlisted: unlisted}
	spelling := make(map[string]string)
	for _, text := range slices.Sorted(maps.Keys(weights)) {
		w := wordsOf(text)
		if len(w) == 0 || slices.Contains(w, pause) {
			return nil, fmt.Errorf("%q is not a word, or words with spaces or hyphens between them; remove it", text)
		}
		if x := weights[text]; !isFinite(x) {
			return nil, fmt.Errorf("%q: %v is not a finite number", text, x)
		}
		key := strings.Join(w, " ")
		if other, ok := spelling[key]; ok {
			return nil, fmt.Errorf("%q and %q are the same, since case does not count; remove one", other, text)
		}
		spelling[key] = text
		l.entries[w[0]] = append(l.entries[w[0]], entry{w, weights[text]})
	}
	for _, es := range l.entries {
		slices.SortFunc(es, func(a, b entry) int { return cmp.Compare(len(b.words), len(a.words)) })
	}
	return l, nil
}

// score adds up the weights of a text's words, each counted as often as it
// occurs.
func (l *lexicon) score(text string) float64 {
	sum := 0.0
	for words := wordsOf(text); len(words) > 0; {
		e := l.match(words)
		sum += e.weight
		words = words[len(e.words):]
	}
	return sum
}

// match returns the longest entry that words begin with, or one for the first
// word alone.
func (l *lexicon) match(words []string) entry {
	for _, e := range l.entries[words[0]] {
		if len(e.words) <= len(words) && slices.Equal(e.words, words[:len(e.words)]) {
			return e
		}
	}
	if words[0] == pause {
		return entry{words[:1], 0}
	}
	return entry{words[:1], l.unlisted}
}

// word is a run of letters and digits, with the apostrophes inside it.
var word = regexp.MustCompile(`[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}\p{N}]+)*`)

// pause stands between words that no phrase joins.
const pause = ""

// wordsOf returns the words of a text, folded so that case does not count.
// Between two there may be white space and hyphens; anything else, such as a
// full stop, is a pause.
func wordsOf(text string) []string {
	text = strings.ReplaceAll(cases.Fold().String(text), "’", "'")
	var out []string
	end := 0
	for _, at := range word.FindAllStringIndex(text, -1) {
		if len(out) > 0 && strings.ContainsFunc(text[end:at[0]], pauses) {
			out = append(out, pause)
		}
		out = append(out, text[at[0]:at[1]])
		end = at[1]
	}
	return out
}

func pauses(r rune) bool { return r != '-' && !unicode.IsSpace(r) }

func (s Spec) validateLexicon() error {
	switch {
	case len(s.Words) == 0 && s.WordsFile == "":
		return errors.New("words: empty; give words and their weights, such as {good: 1, bad: -1}, or words_file")
	case len(s.Words) > 0 && s.WordsFile != "":
		return errors.New("words_file: there are words as well; leave out one of the two")
	case !isFinite(s.Unlisted):
		return fmt.Errorf("unlisted: %v is not a finite number", s.Unlisted)
	}
	if _, err := newLexicon(s.Words, 0); err != nil {
		return fmt.Errorf("words: %w", err)
	}
	return nil
}

// buildLexicon reads the file of a valid spec if it names one.
func (s Spec) buildLexicon() (Reward, error) {
	weights, key := s.Words, "words"
	if s.WordsFile != "" {
		var err error
		key = "words_file"
		if weights, err = readLexicon(s.WordsFile); err != nil {
			return nil, fmt.Errorf("words_file: %w", err)
		}
	}
	l, err := newLexicon(weights, s.Unlisted)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return textReward(l.score), nil
}

// readLexicon reads the weights from a file: a JSON object of numbers if its
// name ends in .json, and else lines of a word, a tab and its weight. What
// stands behind a second tab is ignored, so that published lists (AFINN's,
// VADER's) can be read. Empty lines and those that begin with # are too.
func readLexicon(path string) (map[string]float64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	parse := parseTSV
	if strings.EqualFold(filepath.Ext(path), ".json") {
		parse = parseJSON
	}
	weights, err := parse(data)
	if err == nil && len(weights) == 0 {
		err = errors.New("there is no word in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return weights, nil
}

func parseJSON(data []byte) (map[string]float64, error) {
	// Pointers, because null would leave a float64 at 0 without an error.
	var weights map[string]*float64
	if err := json.Unmarshal(data, &weights); err != nil {
		return nil, fmt.Errorf("want a JSON object of words and their weights, such as {\"good\": 1}: %w", err)
	}
	out := make(map[string]float64, len(weights))
	for w, x := range weights {
		if x == nil {
			return nil, fmt.Errorf("%q: null is no weight; give a number", w)
		}
		out[w] = *x
	}
	return out, nil
}

func parseTSV(data []byte) (map[string]float64, error) {
	out := make(map[string]float64)
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) < 2 {
			return nil, fmt.Errorf("line %d: %.80q has no tab; want a word, a tab and its weight", number, line)
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(fields[1]), 64)
		if err != nil || !isFinite(x) {
			return nil, fmt.Errorf("line %d: %.80q is not a finite number; want a word, a tab and its weight", number, fields[1])
		}
		if _, ok := out[fields[0]]; ok {
			return nil, fmt.Errorf("line %d: %q is there twice; remove one", number, fields[0])
		}
		out[fields[0]] = x
	}
	return out, nil
}
