package plugin

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
)

// Siblings says how many candidates of one position a lookahead proxy is shown at once. They are fed side by side at the
// same position, as branches of the sequence that share its cache, in one forward pass. The first one accepted stays.
//
// With a Count of 1, a token takes 1 + rejections passes. With B, ceil((1+rejections)/B), each over up to B tokens: a gain
// where a pass over B tokens costs little more than one over a single token, as on a GPU, and where many are rejected.
//
// A pass over several tokens adds up in another order than one over a single token, so scores and logits differ in the last
// bits (more with quantised weights), and an accepted sibling lies in another cell of the cache. Exact avoids both: the first
// candidate is fed alone as ever; the siblings after it are only screened; the first of them that is not clearly rejected is
// fed again alone, and decided by that pass. The reply then has the very logits of Count 1, for a position of r > 0
// rejections in 2 + ceil(r/B) passes or a few more.
type Siblings struct {
	Count int
	Exact bool
}

// The environment variables of a server that say so.
const (
	SiblingsVariable      = "OLLAMA_PROXY_SIBLINGS"
	SiblingsExactVariable = "OLLAMA_PROXY_SIBLINGS_EXACT"
)

// MaxSiblings bounds Count: each is a cell of every slot's cache.
const MaxSiblings = 64

// screenMargin is by how much pi(accept) must miss the threshold in a pass over several tokens to count as rejected when
// exactness is asked for. Rounding moves it by far less (BenchmarkSiblings in integration/ prints by how much).
const screenMargin = 0.1

// ServerSiblings is what the server's environment says. A value that makes no sense is logged and not used, as Ollama does
// with its own variables.
func ServerSiblings() Siblings {
	s := Siblings{Count: 1}
	if v := os.Getenv(SiblingsVariable); v != "" {
		if n, err := strconv.Atoi(v); err == nil && n >= 1 && n <= MaxSiblings {
			s.Count = n
		} else {
			slog.Warn("invalid environment variable, using default", "key", SiblingsVariable, "value", v, "want", fmt.Sprintf("a whole number from 1 to %d", MaxSiblings), "default", s.Count)
		}
	}
	if v := os.Getenv(SiblingsExactVariable); v != "" {
		exact, err := strconv.ParseBool(v)
		if err != nil {
			slog.Warn("invalid environment variable, using default", "key", SiblingsExactVariable, "value", v, "want", "true or false", "default", false)
		}
		s.Exact = exact
	}
	return s
}

// first is how many candidates are fed when a position begins.
func (s Siblings) first() int {
	if s.Exact {
		return 1
	}
	return s.Count
}
