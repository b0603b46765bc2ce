// Package nn is what the trainer's algorithms share below their losses: MLPs that
// are trained ([Network]), with their gradients, Adam and state; the same MLPs as
// nodes of a Gorgonia graph, compiled with a loss ([Minibatch.Compile]); the
// standardisation of features ([Standardiser]) and its folding into an exported
// proxy; and the choice of BLAS.
//
// It is not for losses, batches or schedules: these are what packages ppo and sac
// differ in. It is not for serving either: [Network.Export] makes what package
// proxy runs.
//
// # Graphs
//
// Losses and gradients are Gorgonia's, on its tape machine: on its Lisp machine
// rectified differences have no gradient. Graphs have fixed shapes, so each is
// compiled once, for a full minibatch, and rows beyond a smaller one weigh 0. The
// optimiser is ours because Gorgonia's clip element by element and run on one
// core. BLAS is gonum's in pure Go, or OpenBLAS with
//
//	CGO_LDFLAGS=-lopenblas go build -tags openblas
//
// Results depend on neither the number of cores nor the order of goroutines, as far
// as BLAS's do not. Nothing here is for concurrent use; two networks may be used at
// the same time.
package nn
