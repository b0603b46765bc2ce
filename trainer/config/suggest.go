package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// unknown returns the error for a key that is none of known, nor below one.
func unknown(key string, known []field) error {
	all := names(known)
	if s := suggest(key, all); s != "" {
		return fmt.Errorf("unknown key %q: did you mean %q?", key, s)
	}
	parent := key[:strings.LastIndexByte(key, '.')+1]
	var siblings []string
	for _, k := range all {
		if name, ok := strings.CutPrefix(k, parent); ok && !strings.Contains(name, ".") {
			siblings = append(siblings, name)
		}
	}
	return fmt.Errorf("unknown key %q: want one of %s", key, strings.Join(siblings, ", "))
}

// names lists the keys of fields and of everything below them.
func names(fields []field) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.key)
		out = append(out, names(f.sub)...)
	}
	return out
}

// suggest returns the name that was probably meant by a wrong one, or "": the
// nearest that ends in the same word, or else the nearest by letters, if no more
// than a third of them differ.
func suggest(wrong string, known []string) string {
	lower := strings.ToLower(wrong)
	word := lower[strings.LastIndexByte(lower, '.')+1:]
	var alike []string
	for _, k := range known {
		if k == word || strings.HasSuffix(k, "."+word) {
			alike = append(alike, k)
		}
	}
	distance := func(k string) int { return levenshtein.ComputeDistance(lower, strings.ToLower(k)) }
	nearest := func(ks []string) string {
		return slices.MinFunc(ks, func(a, b string) int { return distance(a) - distance(b) })
	}
	if len(alike) > 0 {
		return nearest(alike)
	}
	if len(known) == 0 {
		return ""
	}
	if k := nearest(known); distance(k) <= max(1, len(lower)/3) {
		return k
	}
	return ""
}
