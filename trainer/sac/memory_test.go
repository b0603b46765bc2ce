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

// A state is the agent's own memory: asking for it takes next to none.
func TestStateTakesNoMemory(t *testing.T) {
	a := sized(t, 256, 128, 8)
	const limit = 64 << 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s, err := a.State()
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > limit || 4*a.Parameters() < 8*limit {
		t.Errorf("the state of %d parameters takes %d bytes, want at most %d, and an agent for which that is little", a.Parameters(), took, limit)
	}
	if &s.Targets[1].Tensors[0].Values[0] != &a.targets[1].Params[0].Values[0] {
		t.Error("the state's tensors are not the agent's")
	}
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
		float64(a.Parameters())/1e6, float64(3*a.Actor.Parameters())/1e6, built/1e6, peak/1e6)
	if peak > limit {
		t.Errorf("an update takes %d MB, want at most %d", peak/1e6, limit/1_000_000)
	}
}
