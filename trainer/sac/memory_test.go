package sac

import (
	"runtime"
	"testing"
)

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
