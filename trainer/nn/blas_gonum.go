//go:build !openblas

package nn

// BLAS names the matrix multiplication that this binary was built with: "gonum",
// in pure Go, or "openblas".
func BLAS() string { return "gonum" }
