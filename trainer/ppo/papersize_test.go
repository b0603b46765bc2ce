//go:build openblas

package ppo

import (
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
)

// BenchmarkAgainstPyTorch is the paper's size against PyTorch in the same run:
//
//	CGO_LDFLAGS=-lopenblas TORCH_PYTHON=… go test -tags openblas -run '^$' -bench AgainstPyTorch -benchtime 20x ./trainer/sac ./trainer/ppo
func BenchmarkAgainstPyTorch(b *testing.B) {
	const inputs, hidden, rows = 4096, 2048, 1024
	nntest.AgainstPyTorch(b, "ppo", inputs, hidden, rows, sized(b, inputs, hidden, rows))
}
