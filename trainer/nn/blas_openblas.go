//go:build openblas

package nn

import (
	"gonum.org/v1/netlib/blas/netlib"
	"gorgonia.org/gorgonia"
)

// Gorgonia's choice of BLAS is global to the process; it is made before any
// graph can exist.
func init() { gorgonia.Use(netlib.Implementation{}) }

// BLAS names the matrix multiplication that this binary was built with: "gonum",
// in pure Go, or "openblas".
func BLAS() string { return "openblas" }
