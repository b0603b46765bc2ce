package stats

import "strings"

// Distinct returns distinct-n (Li et al. 2016) of all texts together: the number
// of different n-grams of words divided by the number of n-grams. 1 says that no
// n words in a row occur twice, in a text or across texts; it falls with the
// number of texts, so compare equal numbers only.
//
// Words are what stands between white space, in lower case; no n-gram reaches
// across two texts. Texts of fewer than n words have none. Without a single
// n-gram, and for n below 1, the result is 1: nothing was repeated.
func Distinct(n int, texts []string) float64 {
	seen, total := make(map[string]struct{}), 0
	for _, text := range texts {
		total += addNGrams(seen, n, text)
	}
	return ratio(len(seen), total)
}

// DistinctWithin returns the mean over texts of distinct-n within each, over
// those that have an n-gram; 1 if none has. It sees a reply that repeats itself,
// but not replies that are all alike.
func DistinctWithin(n int, texts []string) float64 {
	sum, counted := 0.0, 0
	for _, text := range texts {
		if distinct, total := NGrams(n, text); total > 0 {
			sum += ratio(distinct, total)
			counted++
		}
	}
	if counted == 0 {
		return 1
	}
	return sum / float64(counted)
}

// NGrams counts the n-grams of one text, as [Distinct] divides it, and how many of
// them are different.
func NGrams(n int, text string) (distinct, total int) {
	seen := make(map[string]struct{})
	total = addNGrams(seen, n, text)
	return len(seen), total
}

// addNGrams adds the n-grams of text to seen and returns how many there were.
func addNGrams(seen map[string]struct{}, n int, text string) int {
	words := strings.Fields(strings.ToLower(text))
	if n < 1 || len(words) < n {
		return 0
	}
	for i := range len(words) - n + 1 {
		seen[strings.Join(words[i:i+n], " ")] = struct{}{}
	}
	return len(words) - n + 1
}

func ratio(distinct, total int) float64 {
	if total == 0 {
		return 1
	}
	return float64(distinct) / float64(total)
}
