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
	if got := BLASAdvice(); got != "" && !strings.Contains(got, "OPENBLAS_CORETYPE") {
		t.Errorf("advice %q", got)
	}
}
