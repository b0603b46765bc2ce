//go:build !openblas

package nn

// BLAS names the matrix multiplication that this binary was built with: "gonum",
// in pure Go, or "openblas".
func BLAS() string { return "gonum" }

// BLASAdvice says what would make the matrix multiplication faster, or nothing.
func BLASAdvice() string {
	return "matrices are multiplied in pure Go; install OpenBLAS and build with make trainer for updates that are 5 to 8 times as fast"
}
