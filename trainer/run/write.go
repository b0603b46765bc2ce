package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteFile puts data under name, a path inside the folder, in place of what was
// there. After an error, or when the process is killed, what was there still is.
func (f *Folder) WriteFile(name string, data []byte) error {
	return f.write(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// write is WriteFile for content that is written piece by piece.
func (f *Folder) write(name string, content func(io.Writer) error) error {
	if err := f.local(name); err != nil {
		return err
	}
	return wrap("write", f.Path(name), f.dir, replace(f.disk, f.Path(name), content))
}

// AppendJSON adds v as one line of JSON to the file name, which is created if
// need be. After an error the file is as it was.
func (f *Folder) AppendJSON(name string, v any) error {
	if err := f.local(name); err != nil {
		return err
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line) // ends the line, and never breaks it
	enc.SetEscapeHTML(false)      // replies stay readable
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("run: append to %s: %w", f.Path(name), err)
	}
	f.lines.Lock()
	defer f.lines.Unlock()
	return wrap("append to", f.Path(name), f.dir, f.appendBytes(f.Path(name), line.Bytes()))
}

// appendBytes adds all of data or nothing.
func (f *Folder) appendBytes(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	end, size, err := f.disk.end(path)
	if err != nil {
		return err
	}
	if _, err = end.Write(data); err != nil {
		err = errors.Join(err, end.Truncate(size))
	}
	return errors.Join(err, end.Close())
}

// cutTornLine cuts off what stands after the last end of a line.
func cutTornLine(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		err = cutAfterLastLine(f, size)
	}
	return errors.Join(err, f.Close())
}

// cutAfterLastLine reads from the end backwards: the file may be long.
func cutAfterLastLine(f *os.File, size int64) error {
	block := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(0, end-int64(len(block)))
		part := block[:end-start]
		if _, err := f.ReadAt(part, start); err != nil {
			return err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			end = start + int64(i) + 1
			if end == size {
				return nil
			}
			return f.Truncate(end)
		}
		end = start
	}
	if size == 0 {
		return nil
	}
	return f.Truncate(0)
}
