package nn_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn/nntest"
)

// A file gives numbers back bit by bit, and none where there were none.
func TestTensorsThroughFile(t *testing.T) {
	var s nn.TensorState
	bits := []uint32{0, 1 << 31, 1, 0x7f7fffff, 0x7f800000, 0xffc12345, math.Float32bits(-1.5)}
	for _, b := range bits {
		s.Values = append(s.Values, math.Float32frombits(b))
	}
	long := make(nn.Floats, 40_000) // more than one chunk
	for i := range long {
		long[i] = float32(i)
	}
	state := nntest.ThroughFile(t, nn.NetworkState{Tensors: []nn.TensorState{s, {Moment2: long}}})
	got := state.Tensors[0]
	var read []uint32
	for _, v := range got.Values {
		read = append(read, math.Float32bits(v))
	}
	if !slices.Equal(read, bits) || got.Moment1 != nil {
		t.Errorf("%x and moments %v, want %x and none", read, got.Moment1, bits)
	}
	if !slices.Equal(state.Tensors[1].Moment2, long) {
		t.Error("a long tensor came back as another")
	}
	for _, data := range [][]byte{nil, make([]byte, 6), {0xff}, binary.AppendUvarint(nil, 1<<40)} {
		if err := new(nn.Floats).GobDecode(data); err == nil {
			t.Errorf("% x was read as a length", data)
		}
	}
}
