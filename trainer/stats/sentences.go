package stats

import (
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
)

// Sentences counts the sentences of a text, as Unicode (UAX #29) divides it, and
// those that have stood in it before: the share of them sees a reply that says
// the same thing again and again, which the words alone may not show.
//
// Sentences are equal if their letters, digits and marks are, in order and but
// for case. What holds no letter, such as the number of an item in a list, is no
// sentence, and neither is a line break inside of one. The last sentence counts
// although it may not have ended.
func Sentences(text string) (repeated, total int) {
	seen := make(map[string]struct{})
	for state := -1; text != ""; {
		var sentence string
		sentence, text, state = uniseg.FirstSentenceInString(text, state)
		key := sentenceKey(sentence)
		if !strings.ContainsFunc(key, unicode.IsLetter) {
			continue
		}
		total++
		if _, ok := seen[key]; ok {
			repeated++
		}
		seen[key] = struct{}{}
	}
	return repeated, total
}

// sentenceKey is the words of a sentence: everything else is one space.
func sentenceKey(sentence string) string {
	words := strings.FieldsFunc(strings.ToLower(sentence), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	return strings.Join(words, " ")
}
