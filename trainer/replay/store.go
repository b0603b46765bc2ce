package replay

import (
	"errors"
	"io"
)

// store holds records by slot.
type store interface {
	io.ReaderAt
	io.WriterAt
}

// memory is a store that grows by segments, so that a ring takes the memory of what
// is in it and not of what would fit.
type memory struct {
	segment  int64 // bytes, whole records
	segments [][]byte
}

// segmentBytes is about what a segment has.
const segmentBytes = 4 << 20

func newMemory(record, slots int) *memory {
	records := min(max(segmentBytes/record, 1), slots)
	n := (slots + records - 1) / records
	return &memory{segment: int64(records * record), segments: make([][]byte, n)}
}

// WriteAt and ReadAt take whole records, which never cross segments.
func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	s := &m.segments[off/m.segment]
	if *s == nil {
		*s = make([]byte, m.segment)
	}
	return copy((*s)[off%m.segment:], p), nil
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	s := m.segments[off/m.segment]
	if s == nil {
		return 0, io.ErrUnexpectedEOF
	}
	return copy(p, s[off%m.segment:]), nil
}

// readWhole is ReadAt that knows no end of a file: what is missing is damage.
func readWhole(r io.ReaderAt, p []byte, off int64) error {
	if _, err := r.ReadAt(p, off); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errDamaged
	} else if err != nil {
		return err
	}
	return nil
}
