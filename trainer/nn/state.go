package nn

import (
	"encoding/binary"
	"fmt"
)

// NetworkState is one network with its optimiser.
type NetworkState struct {
	Steps   int64 // Adam's t
	Tensors []TensorState
}

// TensorState is one tensor with its moments, row-major. Weights are in × out,
// biases 1 × out.
type TensorState struct {
	Name             string // such as "0.weight"
	Rows, Cols       int
	Values           Floats
	Moment1, Moment2 Floats // none for a target's
}

// Floats are numbers of which encoding/gob writes how many there are: it would keep them
// in memory once more, and at the paper's size they are hundreds of MB. Who encodes a
// state writes them after it; see [NetworkState.TensorData].
type Floats []float32

// maxFloats bounds what a file can make GobDecode allocate: 4 GiB.
const maxFloats = 1 << 30

// GobEncode is for encoding/gob.
func (f Floats) GobEncode() ([]byte, error) {
	return binary.AppendUvarint(nil, uint64(len(f))), nil
}

// GobDecode makes f as long as what GobEncode wrote.
func (f *Floats) GobDecode(data []byte) error {
	n, read := binary.Uvarint(data)
	if read <= 0 || read != len(data) || n > maxFloats {
		return fmt.Errorf("nn: %d bytes are no tensor's length, want a number up to %d", len(data), maxFloats)
	}
	*f = make(Floats, n)
	return nil
}

// TensorData returns the numbers of all tensors, the state's own.
func (s NetworkState) TensorData() [][]float32 {
	var data [][]float32
	for _, t := range s.Tensors {
		data = append(data, t.Values, t.Moment1, t.Moment2)
	}
	return data
}

// State returns the tensors themselves, which change with n, and no copies: encode
// it before that.
func (n *Network) State() NetworkState {
	s := NetworkState{Steps: n.Steps}
	for _, p := range n.Params {
		shape := p.Value.Shape()
		s.Tensors = append(s.Tensors, TensorState{
			Name: p.Name, Rows: shape[0], Cols: shape[1],
			Values: p.Values, Moment1: p.moment1, Moment2: p.moment2,
		})
	}
	return s
}

// Fits returns an error that says why n cannot go on from s, or nil.
func (n *Network) Fits(s NetworkState) error {
	if len(s.Tensors) != len(n.Params) {
		return fmt.Errorf("%s: the state has %d tensors, want %d", n.Name, len(s.Tensors), len(n.Params))
	}
	for i, p := range n.Params {
		t, shape := &s.Tensors[i], p.Value.Shape()
		if t.Name != p.Name || t.Rows != shape[0] || t.Cols != shape[1] {
			return fmt.Errorf("%s: tensor %d of the state is %s, %d × %d, want %s, %d × %d", n.Name, i, t.Name, t.Rows, t.Cols, p.Name, shape[0], shape[1])
		}
		for _, v := range []struct{ have, want []float32 }{{t.Values, p.Values}, {t.Moment1, p.moment1}, {t.Moment2, p.moment2}} {
			if len(v.have) != len(v.want) {
				return fmt.Errorf("%s: %s of the state has %d values, want %d", n.Name, t.Name, len(v.have), len(v.want))
			}
			if i := FirstNotFinite(v.have); i >= 0 {
				return fmt.Errorf("%s: %s of the state is %v at index %d, want finite numbers", n.Name, t.Name, v.have[i], i)
			}
		}
	}
	return nil
}

// Restore makes n go on from s, which fits and is copied.
func (n *Network) Restore(s NetworkState) {
	n.Steps = s.Steps
	for i, p := range n.Params {
		copy(p.Values, s.Tensors[i].Values)
		copy(p.moment1, s.Tensors[i].Moment1)
		copy(p.moment2, s.Tensors[i].Moment2)
	}
}
