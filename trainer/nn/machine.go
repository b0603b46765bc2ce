package nn

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Gorgonia hands the same tensor to several nodes, and unbinding those would put
// it into the pool of its tensor package once for each: later, two tensors would
// be one. Without the pool, unbinding is safe. It held empty headers only.
func init() { tensor.DontUsePool() }

// Machine runs a graph. What is read of it is copied into buffers that live as
// long as the graph; of what Gorgonia's own operations make, nothing outlives a run.
type Machine struct {
	vm    G.VM
	graph *G.ExprGraph
}

// NewMachine compiles the graph for nodes that have been bound (see [Binder]).
func NewMachine(g *G.ExprGraph) Machine { return Machine{vm: G.NewTapeMachine(g), graph: g} }

// Run computes everything in the graph.
func (m Machine) Run() error {
	err := m.vm.RunAll()
	m.vm.Reset()
	m.graph.UnbindAllNonInputs() // a node would keep its last value
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
