package run

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

// Mark says how many lines some .jsonl files of a folder had at one moment. A checkpoint holds the mark of its moment, so that
// a run that goes on from it can take back what was recorded later and record it again. Lines are counted and not bytes: times
// of different lengths then make no difference to a checkpoint.
type Mark []LineCount

// LineCount is one file's; a file that is not there has none.
type LineCount struct {
	Name  string
	Lines int
}

// Mark counts the lines of the named files, once they are on the disk: a checkpoint that is saved after it never knows of
// lines that a power cut took.
func (f *Folder) Mark(names ...string) (Mark, error) {
	var m Mark
	for _, name := range names {
		data, err := readSynced(f.Path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, wrap("read", f.Path(name), f.dir, err)
		}
		m = append(m, LineCount{Name: name, Lines: bytes.Count(data, []byte{'\n'})})
	}
	return m, nil
}

func readSynced(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(file)
	return data, errors.Join(err, file.Sync(), file.Close())
}

// Rewind cuts the files that m names to the lines that it counts. One that has fewer, because somebody took some away, stays
// as it is.
func (f *Folder) Rewind(m Mark) error {
	f.lines.Lock()
	defer f.lines.Unlock()
	f.eventsAgree = false
	for _, c := range m {
		if err := f.local(c.Name); err != nil {
			return err
		}
		if err := cutAfterLines(f.Path(c.Name), c.Lines); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return wrap("cut", f.Path(c.Name), f.dir, err)
		}
	}
	return nil
}

// cutAfterLines leaves the first n lines of a file.
func cutAfterLines(path string, n int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	size := 0
	for range n {
		end := bytes.IndexByte(data[size:], '\n')
		if end < 0 {
			return nil
		}
		size += end + 1
	}
	return os.Truncate(path, int64(size))
}
