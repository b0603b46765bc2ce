package reward

import (
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Units of the reward "length".
const (
	UnitWords            = "words"              // runs between white space that hold a letter or a digit
	UnitCharacters       = "characters"         // Unicode code points
	UnitWordsPerSentence = "words_per_sentence" // words divided by sentences, as Unicode (UAX #29) divides them
	UnitWordLength       = "word_length"        // letters and digits divided by words
)

// measures says how each unit is counted.
var measures = map[string]textReward{
	UnitWords:            func(text string) float64 { return float64(words(text)) },
	UnitCharacters:       func(text string) float64 { return float64(utf8.RuneCountInString(text)) },
	UnitWordsPerSentence: wordsPerSentence,
	UnitWordLength:       wordLength,
}

// length returns the measure itself if target is 0, and else how far it is from
// the target, as a share of it: 0 at the target, −1 for an empty reply and for
// one of twice the length.
func length(measure textReward, target float64) textReward {
	if target == 0 {
		return measure
	}
	return func(text string) float64 { return -math.Abs(measure(text)-target) / target }
}

func words(text string) int {
	n := 0
	for w := range strings.FieldsSeq(text) {
		if strings.ContainsFunc(w, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			n++
		}
	}
	return n
}

// wordsPerSentence is 0 for a text without words. A last sentence that has not
// ended counts as one.
func wordsPerSentence(text string) float64 {
	total, sentences := 0, 0
	for state := -1; text != ""; {
		var sentence string
		sentence, text, state = uniseg.FirstSentenceInString(text, state)
		if n := words(sentence); n > 0 {
			total += n
			sentences++
		}
	}
	if sentences == 0 {
		return 0
	}
	return float64(total) / float64(sentences)
}

// wordLength is 0 for a text without words.
func wordLength(text string) float64 {
	n := words(text)
	if n == 0 {
		return 0
	}
	letters := 0
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			letters++
		}
	}
	return float64(letters) / float64(n)
}
