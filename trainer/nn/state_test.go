package nn_test

import (
	"math"
	"slices"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
)

// Gob gives numbers back bit by bit, and none where there were none.
func TestFloatsThroughGob(t *testing.T) {
	var s nn.TensorState
	bits := []uint32{0, 1 << 31, 1, 0x7f7fffff, 0x7f800000, 0xffc12345, math.Float32bits(-1.5)}
	for _, b := range bits {
		s.Values = append(s.Values, math.Float32frombits(b))
	}
	got := nntest.ThroughGob(t, s)
	var read []uint32
	for _, v := range got.Values {
		read = append(read, math.Float32bits(v))
	}
	if !slices.Equal(read, bits) || got.Moment1 != nil {
		t.Errorf("%x and moments %v, want %x and none", read, got.Moment1, bits)
	}
	if err := new(nn.Floats).GobDecode(make([]byte, 6)); err == nil {
		t.Error("six bytes were read as numbers of four")
	}
}
