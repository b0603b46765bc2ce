package sampler

import (
	"errors"
	"fmt"
	"math"
)

// Options says which tokens are candidates and when rejecting one is masked.
// The first four fields are Ollama's options of the same names. The zero value
// is valid and means arg max.
type Options struct {
	// Temperature divides the logits; 0 or more. 0: one candidate, the arg max.
	Temperature float64
	// TopK keeps the k largest logits. 0, less, or at least the vocabulary: off.
	TopK int
	// TopP keeps the most probable tokens up to and including the one with which
	// their sum exceeds TopP. 0 or less: one candidate. 1 or more: off.
	TopP float64
	// MinP drops tokens less probable than MinP times the most probable one;
	// 0 to 1. 0: off.
	MinP float64
	// PT is the paper's p_t, 0 to 1: rejection is masked once the mean
	// probability of the tokens not yet rejected is at most PT. 0: never for
	// that reason.
	PT float64
	// MaxRejections bounds the rejections at one position; the token after the
	// last of them is forced. 0: no bound.
	MaxRejections int
}

// DefaultOptions are Ollama's temperature and top-p with top-k off, without
// which p_t does not mean what the paper's Figure 3 shows, and p_t 0.01.
func DefaultOptions() Options {
	return Options{Temperature: 0.8, TopP: 0.9, PT: 0.01}
}

// Validate reports every field that is out of range, under the name its option
// has in Ollama. Nothing is clamped in silence.
func (o Options) Validate() error {
	// One expression for the usual case: this runs once a token.
	if o.Temperature >= 0 && finite(o.Temperature) && finite(o.TopP) &&
		unit(o.MinP) && unit(o.PT) && o.MaxRejections >= 0 {
		return nil
	}
	var errs []error
	check := func(ok bool, name string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s is %v: want %s", name, value, want))
		}
	}
	check(o.Temperature >= 0 && finite(o.Temperature), "temperature", o.Temperature,
		"a finite number, 0 (arg max) or more")
	check(finite(o.TopP), "top_p", o.TopP, "a finite number, between 0 (one candidate) and 1 (off)")
	check(unit(o.MinP), "min_p", o.MinP, "0 (off) to 1")
	check(unit(o.PT), "proxy_pt", o.PT, "0 (off) to 1")
	check(o.MaxRejections >= 0, "proxy_max_rejections", o.MaxRejections, "0 (no bound) or more")
	return fmt.Errorf("sampler: options: %w", errors.Join(errs...))
}

func finite(x float64) bool { return math.Abs(x) <= math.MaxFloat64 }

func unit(x float64) bool { return x >= 0 && x <= 1 }
