package run

import (
	"bytes"
	"errors"
	"fmt"
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

// Mark counts the lines of the named files.
func (f *Folder) Mark(names ...string) (Mark, error) {
	var m Mark
	for _, name := range names {
		data, err := os.ReadFile(f.Path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, wrap("read", f.Path(name), f.dir, err)
		}
		m = append(m, LineCount{Name: name, Lines: bytes.Count(data, []byte{'\n'})})
	}
	return m, nil
}

// Rewind cuts the files that m names to the lines that it counts. It is an error that names the file if one has fewer: it was
// changed by somebody else, and nothing is cut.
func (f *Folder) Rewind(m Mark) error {
	f.lines.Lock()
	defer f.lines.Unlock()
	sizes := make([]int64, len(m))
	for i, c := range m {
		if err := f.local(c.Name); err != nil {
			return err
		}
		data, err := os.ReadFile(f.Path(c.Name))
		if err != nil && (c.Lines > 0 || !errors.Is(err, fs.ErrNotExist)) {
			return wrap("read", f.Path(c.Name), f.dir, err)
		}
		for n := 0; n < c.Lines; n++ {
			end := bytes.IndexByte(data[sizes[i]:], '\n')
			if end < 0 {
				return fmt.Errorf("run: rewind %s: it has %d lines, and had %d when the checkpoint was saved: restore it, or begin in another folder", f.Path(c.Name), n, c.Lines)
			}
			sizes[i] += int64(end) + 1
		}
	}
	f.eventsAgree = false
	for i, c := range m {
		if err := os.Truncate(f.Path(c.Name), sizes[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return wrap("cut", f.Path(c.Name), f.dir, err)
		}
	}
	return nil
}
