package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// file is what writing needs of an *os.File.
type file interface {
	io.WriteCloser
	Name() string
	Sync() error
	Truncate(size int64) error
}

// disk opens files for writing. Tests put one in its place that fills up.
type disk interface {
	// temp creates a file of a new name in dir, which begins with pattern.
	temp(dir, pattern string) (file, error)
	// end opens a file for writing at its end, and creates it if need be. size is
	// where that is.
	end(path string) (f file, size int64, err error)
}

type osDisk struct{}

var _ disk = osDisk{}

func (osDisk) temp(dir, pattern string) (file, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	// CreateTemp is for secrets. A run may be read by whom the folder lets in.
	if err := f.Chmod(0o644); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

func (osDisk) end(path string) (file, int64, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// replace writes a file through write so that path holds the old content or the
// new one, whole, and never anything else, also after a power cut.
func replace(d disk, path string, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := d.temp(dir, "."+filepath.Base(path)+tempMark)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync() // the content before the name
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// wrap says what was done to which path, and of a full disk what helps. It is
// nil where err is.
func wrap(operation, path, dir string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("run: %s %s: no space left in %s: free some and resume the run: %w", operation, path, dir, err)
	}
	return fmt.Errorf("run: %s %s: %w", operation, path, err)
}
