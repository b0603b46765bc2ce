package run

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
)

// A checkpoint is magic, the value as encoding/gob writes it, and the SHA-256 of
// both.
const magic = "PRLHFCK1"

// ErrDamaged says that a file is no checkpoint, or not all of one.
var ErrDamaged = errors.New("not a whole checkpoint: its checksum is wrong; use another one")

// SaveCheckpoint writes v, as encoding/gob does, under name, in place of the
// checkpoint of that name. It is written to disk before SaveCheckpoint returns.
// encoding/gob holds it in memory once as a whole. After an error the old one is
// still there.
func (f *Folder) SaveCheckpoint(name string, v any) error {
	return f.write(name, func(w io.Writer) error {
		sum := sha256.New()
		buffered := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
		if _, err := buffered.WriteString(magic); err != nil {
			return err
		}
		if err := gob.NewEncoder(buffered).Encode(v); err != nil {
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
	if err := gob.NewDecoder(bufio.NewReaderSize(payload, 1<<20)).Decode(v); err != nil {
		return fmt.Errorf("it is whole but holds something else, perhaps of another version of the trainer: %w", err)
	}
	return nil
}
