package sac

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
)

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
	nntest.SkipWithoutBLAS(t)
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
		float64(a.Parameters())/1e6, float64(3*a.actor.Parameters())/1e6, built/1e6, peak/1e6)
	if peak > limit {
		t.Errorf("an update takes %d MB, want at most %d", peak/1e6, limit/1_000_000)
	}
}
