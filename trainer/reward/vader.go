package reward

import (
	"strings"
	"sync"

	"github.com/jonreiter/govader"
)

// vader returns the compound sentiment of a text, in [−1, 1]; 0 for a text
// without sentiment (Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model
// for Sentiment Analysis of Social Media Text", ICWSM 2014).
//
// Govader is a port of the authors' vaderSentiment. The reward equals that of
// vaderSentiment 3.3.2 up to rounding (theirs has four decimals), with two
// exceptions where the Python program does not do what its comments say and
// govader does. Python amplifies a word by 1.25 after any "so" or "this", not
// only after "never so" and "never this". And where "but" calls for one factor
// before it and another after, it looks each sentiment up by value, and can take
// one behind "but" for an equal one in front. Of 6,829 questions and dialogues
// the two changed 94, and nothing else differed.
func vader(text string) float64 {
	// Python splits on any run of white space and govader on each space, so
	// that it would see "good.\n\nBad" as one unknown word.
	return analyzer().PolarityScores(strings.Join(strings.Fields(text), " ")).Compound
}

// analyzer is shared: it is 7,500 words of lexicon, and only read once built.
var analyzer = sync.OnceValue(func() *govader.SentimentIntensityAnalyzer {
	a := govader.NewSentimentIntensityAnalyzer()
	// What vaderSentiment 3.3.2 knows and the older lexicon in govader does not.
	a.Lexicon["heart"] = 3.2
	a.Lexicon["hearts"] = 3.3
	a.Constants.SpecialCaseIdioms["bus stop"] = 0
	a.Constants.SpecialCaseIdioms["beating heart"] = 3.5
	return a
})
