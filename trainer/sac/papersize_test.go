//go:build openblas

package sac

import (
	"io"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// What is of the paper's size is here: in pure Go one update takes a minute.

// heap is the number of bytes allocated and not yet collected.
func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The paper's Table 1: training takes 0.5 GB. Actor, two critics and two targets at
// d 4096 and hidden 2048, Adam's moments, gradients, a minibatch of 1024 and its
// activations, without the buffer of decisions.
func TestMemoryAtThePapersSize(t *testing.T) {
	const limit = 500_000_000
	runtime.GC()
	before := heap()
	a := sized(t, 4096, 2048, 1024)
	runtime.GC()
	built := heap() - before
	feed(t, a)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // what an update allocates counts, used or not
	runtime.GC()
	fed := heap()
	if err := a.learn(&meter{}); err != nil {
		t.Fatal(err)
	}
	peak := built + heap() - fed
	t.Logf("%.1f M parameters in five networks (actor and critics %.1f M); %d MB built, %d MB at the peak of an update",
		float64(a.Parameters())/1e6, float64(3*a.Actor.Parameters())/1e6, built/1e6, peak/1e6)
	if peak > limit {
		t.Errorf("an update takes %d MB, want at most %d", peak/1e6, limit/1_000_000)
	}
	s, err := a.State()
	if err != nil {
		t.Fatal(err)
	}
	before = heap()
	if err := run.Encode(io.Discard, s); err != nil {
		t.Fatal(err)
	}
	if saving := heap() - before; saving > limit/100 {
		t.Errorf("saving takes %d MB more", saving/1e6)
	}
}

// BenchmarkUpdateAtThePapersSize is [BenchmarkUpdate] for a 7B model.
func BenchmarkUpdateAtThePapersSize(b *testing.B) { benchmarkUpdate(b, 4096, 2048) }

// BenchmarkAgainstPyTorch is the paper's size against PyTorch in the same run:
//
//	CGO_LDFLAGS=-lopenblas TORCH_PYTHON=… go test -tags openblas -run '^$' -bench AgainstPyTorch -benchtime 20x ./trainer/sac ./trainer/ppo
func BenchmarkAgainstPyTorch(b *testing.B) {
	const inputs, hidden, rows = 4096, 2048, 1024
	a := sized(b, inputs, hidden, rows)
	feed(b, a)
	nntest.AgainstPyTorch(b, "sac", inputs, hidden, rows, func() error {
		a.sample()
		return a.learn(&meter{})
	})
}
