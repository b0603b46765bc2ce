// Command build makes bin/ollama: Ollama at the version that go.mod pins, with the
// proxy hooked into its decode loop.
//
//	go run ./plugin/build                                  # bin/ollama
//	go run ./plugin/build -stock bin/ollama-stock          # and its unpatched twin
//	go run ./plugin/build -backend cuda                    # and lib/ollama/cuda_v1x
//	go run ./plugin/build -exec -- go test ./integration/  # against the patched tree
//	go run ./plugin/build -test-upstream                   # Ollama's tests of what we patch
//
// It copies Ollama's source out of the Go module cache (after checking it against
// go.sum) to a folder of its own in the user's cache folder, adds the files under
// plugin/patches/files, applies plugin/patches/*.patch without any tolerance, and
// runs go build there with a go.mod that replaces Ollama by the copy. The folder is
// the same for every checkout of the same Ollama because cgo is compiled anew for
// each folder: the second checkout builds in seconds. A lock keeps them apart.
//
// The C and C++ code is tuned for this machine's CPU (-O3 -march=native); set
// CGO_CFLAGS and CGO_CXXFLAGS for a binary that is to run elsewhere.
//
// It is not for patching by hand (a tree that was touched is thrown away and made
// again) and not for other versions of Ollama: from v0.30 the decode loop is not Go.
// The values in it belong to one goroutine; several processes may run at once.
package main
