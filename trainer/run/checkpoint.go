package run

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// A checkpoint is magic, the value as [Encode] writes it, and the SHA-256 of both.
const magic = "PRLHFCK1"

// ErrDamaged says that a file is no checkpoint, or not all of one.
var ErrDamaged = errors.New("not a whole checkpoint: its checksum is wrong; use another one")

// WithTensors is a value with numbers that encoding/gob does not write, such as an
// [nn.NetworkState]: gob holds in memory, as a whole, all that it writes.
//
// [nn.NetworkState]: https://pkg.go.dev/github.com/proxy-rlhf/proxy-rlhf/trainer/nn#NetworkState
type WithTensors interface {
	// TensorData returns the numbers, always in the same order. After encoding/gob has
	// read the value its slices are there, as long as they were.
	TensorData() [][]float32
}

// SaveCheckpoint writes v, as encoding/gob does and with its tensors, under name, in
// place of the checkpoint of that name. It is written to disk before SaveCheckpoint
// returns. After an error the old one is still there.
func (f *Folder) SaveCheckpoint(name string, v any) error {
	return f.write(name, func(w io.Writer) error {
		sum := sha256.New()
		buffered := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
		if _, err := buffered.WriteString(magic); err != nil {
			return err
		}
		if err := Encode(buffered, v); err != nil {
			return err
		}
		if err := buffered.Flush(); err != nil {
			return err
		}
		_, err := w.Write(sum.Sum(nil))
		return err
	})
}

// LoadCheckpoint reads into v, a pointer, what SaveCheckpoint wrote under name.
// The checksum is looked at first: of a damaged file nothing gets into v, and
// the error is ErrDamaged. Where there is no such file it is fs.ErrNotExist.
func (f *Folder) LoadCheckpoint(name string, v any) error {
	if err := f.local(name); err != nil {
		return err
	}
	return LoadCheckpoint(f.Path(name), v)
}

// IsCheckpoint says whether the file at path begins as a checkpoint does, which is
// not to say that it is whole.
func IsCheckpoint(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("run: %w", err)
	}
	defer file.Close()
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(file, head); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, fmt.Errorf("run: %w", err)
	}
	return string(head) == magic, nil
}

// LoadCheckpoint is [Folder.LoadCheckpoint] for a path, without opening the
// folder that it lies in.
func LoadCheckpoint(path string, v any) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("run: load checkpoint: %w", err)
	}
	defer file.Close()
	if err := decode(file, v); err != nil {
		return fmt.Errorf("run: load checkpoint %s: %w", path, err)
	}
	return nil
}

func decode(file *os.File, v any) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := info.Size() - sha256.Size
	if size < int64(len(magic)) {
		return ErrDamaged
	}
	head := make([]byte, len(magic))
	if _, err := file.ReadAt(head, 0); err != nil {
		return err
	}
	want := make([]byte, sha256.Size)
	if _, err := file.ReadAt(want, size); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, size)); err != nil {
		return err
	}
	if string(head) != magic || !bytes.Equal(sum.Sum(nil), want) {
		return ErrDamaged
	}
	payload := io.NewSectionReader(file, int64(len(magic)), size-int64(len(magic)))
	if err := Decode(bufio.NewReaderSize(payload, 1<<20), v); err != nil {
		return fmt.Errorf("it is whole but holds something else, perhaps of another version of the trainer: %w", err)
	}
	return nil
}

// chunk is how many numbers are converted at once.
const chunk = 1 << 14

// Encode writes v as encoding/gob does and after it, if it is [WithTensors], their
// numbers: IEEE 754 in 4 bytes, little-endian.
func Encode(w io.Writer, v any) error {
	if err := gob.NewEncoder(w).Encode(v); err != nil {
		return err
	}
	tensors, ok := v.(WithTensors)
	if !ok {
		return nil
	}
	var bytes []byte
	for _, t := range tensors.TensorData() {
		for numbers := range slices.Chunk(t, chunk) {
			bytes, _ = binary.Append(bytes[:0], binary.LittleEndian, numbers) // no error: they have a fixed size
			if _, err := w.Write(bytes); err != nil {
				return err
			}
		}
	}
	return nil
}

// Decode reads into v, a pointer, what [Encode] wrote, and nothing after it.
func Decode(r interface {
	io.Reader
	io.ByteReader // or else gob reads ahead
}, v any) error {
	if err := gob.NewDecoder(r).Decode(v); err != nil {
		return err
	}
	tensors, ok := v.(WithTensors)
	if !ok {
		return nil
	}
	bytes := make([]byte, 4*chunk)
	for _, t := range tensors.TensorData() {
		for numbers := range slices.Chunk(t, chunk) {
			part := bytes[:4*len(numbers)]
			if _, err := io.ReadFull(r, part); err != nil {
				return fmt.Errorf("its tensors: %w", err)
			}
			_, _ = binary.Decode(part, binary.LittleEndian, numbers) // no error: as many as there are
		}
	}
	return nil
}
