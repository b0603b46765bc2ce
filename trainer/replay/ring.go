package replay

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/rl"
)

// Options say how large a ring is and where it lies.
type Options struct {
	// InputLength is the number of features of a decision.
	InputLength int
	// Decisions is the largest number that is kept.
	Decisions int
	// Bytes bounds the ring, in memory and in its file. A quarter of it is not for
	// keeping but for what comes in between checkpoints.
	Bytes int64
	// Path is the file. Empty: there is none, and the ring cannot be resumed.
	Path string
	// Spill keeps decisions in the file only and not in memory too. It takes a Path.
	Spill bool
}

// Ring keeps the decisions added last. Numbers count decisions from the first ever
// added, from 0.
type Ring struct {
	options Options
	slots   int64 // of the file
	keeps   int64 // at most
	position

	file    *os.File // nil without a path
	memory  *memory  // nil when spilled
	buffers sync.Pool
}

// position is where a ring stands.
type position struct {
	total int64 // ever added
	kept  int64 // still there; they end at total
	// older and newer are how far the last two states went, of different totals.
	older, newer int64
}

// Open makes an empty ring, or one to be restored from a state if the file was
// there before.
func Open(o Options) (*Ring, error) {
	record := int64(recordBytes(o.InputLength))
	if o.InputLength < 1 || o.Decisions < 1 {
		return nil, fmt.Errorf("replay: open: %d features and %d decisions, want 1 or more of each", o.InputLength, o.Decisions)
	}
	if o.Spill && o.Path == "" {
		return nil, errors.New("replay: open: to spill decisions to disk takes a path")
	}
	r := &Ring{options: o}
	r.slots = min(o.Bytes/record, int64(o.Decisions)+int64(o.Decisions)/3+1)
	r.keeps = r.slots * 3 / 4
	if r.keeps < 1 {
		return nil, fmt.Errorf("replay: open: %d bytes are room for %d decisions of %d bytes, want room for 2 or more", o.Bytes, r.slots, record)
	}
	r.buffers.New = func() any { b := make([]byte, record); return &b }
	if !o.Spill {
		r.memory = newMemory(int(record), int(r.slots))
	}
	if o.Path != "" {
		var err error
		if r.file, err = os.OpenFile(o.Path, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
			return nil, fmt.Errorf("replay: open: %w", err)
		}
	}
	return r, nil
}

// Close closes the file.
func (r *Ring) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Len is the number of decisions in the ring, Oldest the number of the first of
// them; the others follow it.
func (r *Ring) Len() int      { return int(r.kept) }
func (r *Ring) Oldest() int64 { return r.total - r.kept }

// Capacity is the largest number of decisions that the ring keeps.
func (r *Ring) Capacity() int { return int(r.keeps) }

// Add appends the decisions of one reply, which has been validated. Of the oldest
// decisions as many go as there is no room for. After an error the ring is as
// before.
func (r *Ring) Add(e *rl.Episode) error {
	n := int64(len(e.Transitions))
	if err := r.room(n); err != nil {
		return err
	}
	record := recordBytes(r.options.InputLength)
	b := make([]byte, record)
	for i := range e.Transitions {
		t := &e.Transitions[i]
		d := Decision{Action: t.Action, Reward: t.Reward, Last: i == len(e.Transitions)-1}
		if !d.Last {
			d.Tokens = e.Transitions[i+1].Token - t.Token
		}
		number := r.total + int64(i)
		if err := encode(b, number, d, t.Features); err != nil {
			return fmt.Errorf("replay: add: transition %d: %w", i, err)
		}
		if err := r.write(number, b); err != nil {
			return err
		}
	}
	r.total += n
	r.kept = min(r.kept+n, r.keeps)
	return nil
}

// room says whether n more decisions leave alone what the ring keeps meanwhile, and
// what the older of the last two checkpoints refers to.
func (r *Ring) room(n int64) error {
	if n > r.slots-r.keeps {
		return fmt.Errorf("replay: add: %d decisions of one reply, but there is room for %d beside the %d that are kept: raise the bytes of the buffer", n, r.slots-r.keeps, r.keeps)
	}
	refers := r.older
	if refers == 0 {
		refers = r.newer // a state of nothing refers to nothing
	}
	if r.file == nil || refers == 0 {
		return nil
	}
	if first := refers - min(refers, r.keeps); r.total+n-r.slots > first {
		return fmt.Errorf("replay: add: %d decisions since the last checkpoint but one are too many for a buffer that keeps %d: raise its bytes, or lower the size of batches", r.total+n-refers, r.keeps)
	}
	return nil
}

func (r *Ring) offset(number int64) int64 {
	return number % r.slots * int64(recordBytes(r.options.InputLength))
}

func (r *Ring) write(number int64, b []byte) error {
	if r.memory != nil {
		r.memory.WriteAt(b, r.offset(number))
	}
	if r.file != nil {
		if _, err := r.file.WriteAt(b, r.offset(number)); err != nil {
			return fmt.Errorf("replay: add: %w", err)
		}
	}
	return nil
}

// Read returns the decision of that number, which is in the ring, and copies its
// features and those of the decision after it: zeros if it is the last of its
// reply. Either slice may be nil.
func (r *Ring) Read(number int64, features, next []float32) (Decision, error) {
	d, err := r.read(number, features)
	if err != nil || next == nil {
		return d, err
	}
	if d.Last {
		clear(next)
		return d, nil
	}
	_, err = r.read(number+1, next)
	return d, err
}

func (r *Ring) read(number int64, features []float32) (Decision, error) {
	if r.memory != nil {
		return r.readFrom(r.memory, number, features)
	}
	return r.readFrom(r.file, number, features)
}

func (r *Ring) readFrom(from store, number int64, features []float32) (Decision, error) {
	if number < r.Oldest() || number >= r.total {
		return Decision{}, fmt.Errorf("replay: read: decision %d is not among %d to %d", number, r.Oldest(), r.total-1)
	}
	b := r.buffers.Get().(*[]byte)
	defer r.buffers.Put(b)
	err := readWhole(from, *b, r.offset(number))
	if err != nil {
		return Decision{}, fmt.Errorf("replay: read: decision %d: %w", number, err)
	}
	d, err := decode(*b, number, features)
	if err != nil {
		return Decision{}, fmt.Errorf("replay: read: decision %d: %w", number, err)
	}
	return d, nil
}
