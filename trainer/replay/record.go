package replay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"

	"github.com/x448/float16"

	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// Decision is a decision without its features.
type Decision struct {
	Action sampler.Action
	// Reward is what was paid from this decision until the next one.
	Reward float64
	// Tokens is how far the next decision is away, 0 at the same position. It is 0
	// for the last one.
	Tokens int
	// Last says that no decision of the same reply follows.
	Last bool
}

// A record is, in little endian: its number (8 bytes), the reward (8), the tokens
// to the next decision (4), the action (1), whether it is the last (1), nothing
// (2), the CRC-32C of everything else (4), nothing (4), and the features (2 each).
const (
	headerBytes = 32
	crcAt       = 24
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func recordBytes(inputLength int) int { return headerBytes + 2*inputLength }

// encode fills b, a whole record.
func encode(b []byte, number int64, d Decision, features []float32) error {
	clear(b[:headerBytes])
	binary.LittleEndian.PutUint64(b, uint64(number))
	binary.LittleEndian.PutUint64(b[8:], math.Float64bits(d.Reward))
	binary.LittleEndian.PutUint32(b[16:], uint32(d.Tokens))
	b[20] = byte(d.Action)
	if d.Last {
		b[21] = 1
	}
	for i, v := range features {
		h := float16.Fromfloat32(v)
		if h.IsInf(0) || h.IsNaN() {
			return fmt.Errorf("feature %d is %v, want a number of at most 65504, as float16 has", i, v)
		}
		binary.LittleEndian.PutUint16(b[headerBytes+2*i:], h.Bits())
	}
	binary.LittleEndian.PutUint32(b[crcAt:], checksum(b))
	return nil
}

var (
	errDamaged     = errors.New("damaged: its checksum is wrong; start the run anew")
	errOverwritten = errors.New("written over: the run has gone on too far since; go on from its last checkpoint")
)

// decode reads what encode wrote as that number. features may be nil.
func decode(b []byte, number int64, features []float32) (Decision, error) {
	if binary.LittleEndian.Uint32(b[crcAt:]) != checksum(b) {
		return Decision{}, errDamaged
	}
	if binary.LittleEndian.Uint64(b) != uint64(number) {
		return Decision{}, errOverwritten
	}
	if features != nil {
		halves := halves()
		for i := range features {
			features[i] = halves[binary.LittleEndian.Uint16(b[headerBytes+2*i:])]
		}
	}
	return Decision{
		Action: sampler.Action(b[20]),
		Reward: math.Float64frombits(binary.LittleEndian.Uint64(b[8:])),
		Tokens: int(binary.LittleEndian.Uint32(b[16:])),
		Last:   b[21] == 1,
	}, nil
}

func checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:crcAt])
	return crc32.Update(sum, castagnoli, b[crcAt+4:])
}

// halves are the values of all float16: looked up five times as fast as converted.
var halves = sync.OnceValue(func() *[1 << 16]float32 {
	var t [1 << 16]float32
	for i := range t {
		t[i] = float16.Frombits(uint16(i)).Float32()
	}
	return &t
})
