package reward

import "regexp"

// FirstPerson matches the words in which a speaker names himself: "I" as a
// capital only, alone or in I'm, I've, I'd, I'll (one match each, whether the
// apostrophe is straight or curly), and my, me, mine and myself in any case.
// It is the pattern of the demo, with −1 a match. It does not tell a pronoun
// from a numeral ("World War I") or from a coal mine.
const FirstPerson = `\bI\b|(?i:\b(?:my|me|mine|myself)\b)`

// matches returns a function that gives perMatch for each of the
// non-overlapping matches of re.
func matches(re *regexp.Regexp, perMatch float64) textReward {
	return func(text string) float64 {
		n := len(re.FindAllStringIndex(text, -1))
		if n == 0 {
			return 0 // and not −0
		}
		return perMatch * float64(n)
	}
}
