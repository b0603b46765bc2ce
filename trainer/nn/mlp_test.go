package nn

import (
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func TestActivateRefusesUnknown(t *testing.T) {
	if _, err := NewMLP(G.NewGraph(), tensor.Float32, []int{2, 2, 2}, "gelu", 2); err == nil {
		t.Error("an unknown activation is no error")
	}
}
