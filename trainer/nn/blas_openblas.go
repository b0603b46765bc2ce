//go:build openblas

package nn

// char *openblas_get_corename(void);
import "C"

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/cpu"
	"gonum.org/v1/netlib/blas/netlib"
	"gorgonia.org/gorgonia"
)

// Gorgonia's choice of BLAS is global to the process; it is made before any
// graph can exist.
func init() { gorgonia.Use(netlib.Implementation{}) }

// BLAS names the matrix multiplication that this binary was built with: "gonum",
// in pure Go, or "openblas".
func BLAS() string { return "openblas" }

// coreType is the environment variable that tells OpenBLAS which CPU there is.
const coreType = "OPENBLAS_CORETYPE"

// BLASAdvice says what would make the matrix multiplication faster, or nothing. An
// OpenBLAS that is older than the CPU takes it for an older one. Who has told it which
// one there is knows why: some versions compute wrong results on newer ones.
func BLASAdvice() string {
	if os.Getenv(coreType) != "" {
		return ""
	}
	return advice(C.GoString(C.openblas_get_corename()), cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL)
}

// advice is for the CPU that OpenBLAS sees, and for one that has AVX-512.
func advice(core string, avx512 bool) string {
	if !avx512 {
		return ""
	}
	for _, has := range []string{"skylakex", "cooperlake", "sapphirerapids", "zen4", "zen5"} {
		if strings.EqualFold(core, has) {
			return ""
		}
	}
	return fmt.Sprintf("OpenBLAS takes this CPU for a %s without AVX-512; with %s=SKYLAKEX in the environment it is up to twice as fast", core, coreType)
}
