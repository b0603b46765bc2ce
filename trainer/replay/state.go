package replay

import (
	"errors"
	"fmt"
)

// State is where a ring stands. What is in it lies in the file.
type State struct {
	InputLength int
	Slots       int64 // of the file
	Total, Kept int64
}

// State writes the file out and returns where the ring stands. The ring then keeps
// what this state and the one before refer to: once this one has been saved, and
// until the next one is asked for, either can be gone back to.
func (r *Ring) State() (State, error) {
	if r.file != nil {
		if err := r.file.Sync(); err != nil {
			return State{}, fmt.Errorf("replay: state: %w", err)
		}
	}
	if r.total != r.newer {
		r.older, r.newer = r.newer, r.total
	}
	return State{InputLength: r.options.InputLength, Slots: r.slots, Total: r.total, Kept: r.kept}, nil
}

// Restore makes the ring go on from s, whose decisions are in the file. All of them
// are looked at. After an error the ring is as before.
func (r *Ring) Restore(s State) error {
	if err := r.restore(s); err != nil {
		return fmt.Errorf("replay: restore: %w", err)
	}
	return nil
}

func (r *Ring) restore(s State) error {
	switch {
	case s.InputLength != r.options.InputLength:
		return fmt.Errorf("the state is of %d features, the ring of %d", s.InputLength, r.options.InputLength)
	case s.Slots != r.slots:
		return fmt.Errorf("the state is of a buffer for %d decisions, this one is for %d: leave its size as it was", s.Slots, r.slots)
	case s.Kept < 0 || s.Kept > s.Total || s.Kept > r.keeps:
		return fmt.Errorf("the state keeps %d of %d decisions, want 0 to %d", s.Kept, s.Total, min(s.Total, r.keeps))
	case s.Kept > 0 && r.file == nil:
		return errors.New("the ring has no file to read the decisions from")
	}
	was := r.position
	r.position = position{total: s.Total, kept: s.Kept, older: s.Total, newer: s.Total}
	for number := r.Oldest(); number < r.total; number++ {
		if err := r.load(number); err != nil {
			r.position = was
			return fmt.Errorf("%s: %w", r.options.Path, err)
		}
	}
	return nil
}

// load checks a record of the file and takes it into memory.
func (r *Ring) load(number int64) error {
	if _, err := r.readFrom(r.file, number, nil); err != nil || r.memory == nil {
		return err
	}
	b := make([]byte, recordBytes(r.options.InputLength))
	if err := readWhole(r.file, b, r.offset(number)); err != nil {
		return err
	}
	_, err := r.memory.WriteAt(b, r.offset(number))
	return err
}
