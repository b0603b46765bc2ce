package nn

import (
	"runtime"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Gorgonia hands the same tensor to several nodes, and unbinding those would put
// it into the pool of its tensor package once for each: later, two tensors would
// be one. Without the pool, unbinding is safe. It held empty headers only.
func init() { tensor.DontUsePool() }

// Machine runs a graph. What is read of it is copied into buffers that live as
// long as the graph; nothing else outlives a run.
type Machine struct {
	vm     G.VM
	graph  *G.ExprGraph
	tidies bool
}

// NewMachine compiles the graph for nodes that have been bound (see [Binder]).
func NewMachine(g *G.ExprGraph) Machine {
	bytes := 0
	for _, n := range g.AllNodes() {
		bytes += 4 * n.Shape().TotalSize()
	}
	return Machine{vm: G.NewTapeMachine(g), graph: g, tidies: bytes > tidyAbove}
}

// tidyAbove is the size of a graph's tensors, in bytes, from which on they are
// collected after every run. A graph of the paper's size drops 90 MB a run, and at
// the collector's own pace that doubles the memory of the process. Tensors hold no
// pointers, so a collection takes a millisecond of such a run.
const tidyAbove = 64 << 20

// Run computes everything in the graph.
func (m Machine) Run() error {
	err := m.vm.RunAll()
	m.vm.Reset()
	m.graph.UnbindAllNonInputs() // a node would keep its last value
	if m.tidies {
		runtime.GC()
	}
	return err
}

// Holding returns the operations that hold a value other than a scalar. After a run
// there are none.
func (m Machine) Holding() G.Nodes {
	var held G.Nodes
	for _, n := range m.graph.AllNodes() {
		if n.Op() != nil && n.Value() != nil && !n.IsScalar() {
			held = append(held, n)
		}
	}
	return held
}
