//go:build openblas

package nn

import (
	"strings"
	"testing"
)

func TestBLASAdvice(t *testing.T) {
	for _, tc := range []struct {
		core   string
		avx512 bool
		advise bool
	}{{"Haswell", true, true}, {"Zen", true, true}, {"SkylakeX", true, false}, {"Haswell", false, false}} {
		if got := advice(tc.core, tc.avx512); (got != "") != tc.advise {
			t.Errorf("%s, AVX-512 %v: %q", tc.core, tc.avx512, got)
		}
	}
	t.Setenv(coreType, "")
	if got := BLASAdvice(); got != "" && !strings.Contains(got, coreType) {
		t.Errorf("advice %q", got)
	}
	t.Setenv(coreType, "Haswell")
	if got := BLASAdvice(); got != "" {
		t.Errorf("%s is set: advice %q", coreType, got)
	}
}
