package tensorboard

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var at = time.UnixMilli(1_700_000_000_500)

// The bytes are put together by hand from the formats in the package comment: protocol buffers' fields as (number << 3 | wire
// type), numbers little-endian.
func TestBytes(t *testing.T) {
	const (
		wallTime = "09" + "00002040fc54d941" // field 1, double 1700000000.5
		header   = wallTime +
			"1a" + "0d" + "627261696e2e4576656e743a32" // field 3, 13 bytes: brain.Event:2
		scalars = wallTime +
			"10" + "c001" + // field 2, varint 192
			"2a" + "16" + // field 5, 22 bytes
			"0a" + "08" + "0a01" + "61" + "15" + "0000c03f" + // value: tag a, 1.5
			"0a" + "0a" + "0a03" + "622f63" + "15" + "000000c0" // value: tag b/c, -2
	)
	for name, test := range map[string]struct {
		got  []byte
		want string
	}{
		"header":  {AppendHeader(nil, at), header},
		"scalars": {AppendScalars(nil, 192, at, map[string]float64{"b/c": -2, "a": 1.5}), scalars},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(test.want, hex.EncodeToString(test.got[12:len(test.got)-4])); d != "" {
				t.Errorf("event −want +got\n%s", d)
			}
			checkFrame(t, test.got)
		})
	}
}

// checkFrame unmasks the checksums of one record, as a reader does.
func checkFrame(t *testing.T, record []byte) {
	t.Helper()
	unmasked := func(at int) uint32 {
		crc := binary.LittleEndian.Uint32(record[at:]) - 0xa282ead8
		return crc>>17 | crc<<15
	}
	crc32c := func(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }
	end := len(record) - 4
	if n := binary.LittleEndian.Uint64(record); int(n) != end-12 {
		t.Errorf("the length says %d, want %d", n, end-12)
	}
	if unmasked(8) != crc32c(record[:8]) || unmasked(end) != crc32c(record[12:end]) {
		t.Error("a checksum is wrong")
	}
}

// The mask, for the 32 zero bytes of which RFC 3720 (B.4) gives the CRC-32C, 0x8a9136aa.
func TestMaskedCRC(t *testing.T) {
	// Rotated right by 15: 0x8a9136aa → 0x6d551522; plus 0xa282ead8.
	if got, want := maskedCRC(make([]byte, 32)), uint32(0xfd7fffa); got != want {
		t.Errorf("masked CRC-32C is %#x, want %#x", got, want)
	}
}

// Records are appended to what is there.
func TestAppends(t *testing.T) {
	file := AppendScalars(AppendHeader(nil, at), 1, at, map[string]float64{"a": 1})
	header := AppendHeader(nil, at)
	if d := cmp.Diff(append(header, AppendScalars(nil, 1, at, map[string]float64{"a": 1})...), file); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	if path := os.Getenv("TENSORBOARD_TEST_OUT"); path != "" { // for TensorBoard itself to look at
		file = AppendScalars(file, 2, at.Add(time.Minute), map[string]float64{"a": 2, "losses/policy_loss": -0.125})
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
