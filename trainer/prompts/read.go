package prompts

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/klauspost/compress/zstd"
)

// maxLine bounds one line of JSON Lines, in bytes. A line beyond it is a file
// of another kind, and not worth the memory.
const maxLine = 16 << 20

// maxWindow bounds what a Zstandard file can make the decoder set aside, in
// bytes: as much as the command zstd accepts by default.
const maxWindow = 128 << 20

func readFile(path, key string) ([]record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("prompts: %w", err)
	}
	defer f.Close()
	records, err := read(f, key)
	if err != nil {
		return nil, fmt.Errorf("prompts: %s%w", path, err)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("prompts: %s: no records in the file", path)
	}
	return records, nil
}

// lineError is a fault at a line, which is joined to the file's name as
// "file:line: cause".
type lineError struct {
	line int // from 1; 0 if unknown
	err  error
}

func (e *lineError) Error() string {
	if e.line == 0 {
		return fmt.Sprintf(": %v", e.err)
	}
	return fmt.Sprintf(":%d: %v", e.line, e.err)
}

func (e *lineError) Unwrap() error { return e.err }

// read reads all records. Its errors are *lineError.
func read(r io.Reader, key string) ([]record, error) {
	head := bufio.NewReader(r)
	if magic, _ := head.Peek(len(parquetMagic)); string(magic) == parquetMagic {
		records, err := readParquet(head, key)
		if err != nil {
			return nil, &lineError{0, err}
		}
		return records, nil
	}
	plain, closer, err := decompress(head)
	if err != nil {
		return nil, &lineError{0, err}
	}
	defer closer()

	lines := &lineCounter{r: plain}
	buffered := bufio.NewReaderSize(lines, 64<<10)
	first, err := firstByte(buffered)
	switch {
	case err == io.EOF:
		return nil, nil
	case err != nil:
		return nil, &lineError{0, err}
	case first == '[':
		return readArray(buffered, lines, key)
	}
	return readLines(buffered, lines, key)
}

// decompress looks at the magic number.
func decompress(r *bufio.Reader) (plain io.Reader, closer func(), err error) {
	magic, err := r.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}): // RFC 1952, 2.3.1
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return z, func() { z.Close() }, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, 3.1.1
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return r, func() {}, nil
}

// firstByte passes over a byte order mark and white space and returns the byte
// after them, unread.
func firstByte(r *bufio.Reader) (byte, error) {
	if bom, _ := r.Peek(3); bytes.Equal(bom, []byte("\ufeff")) {
		r.Discard(3)
	}
	for {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			return b, r.UnreadByte()
		}
	}
}

func readLines(r *bufio.Reader, lines *lineCounter, key string) ([]record, error) {
	// White space before the first record has been passed over.
	line := lines.at(lines.read - int64(r.Buffered()))
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	var records []record
	for ; scanner.Scan(); line++ {
		raw := bytes.TrimSpace(scanner.Bytes())
		if len(raw) == 0 {
			continue
		}
		rec, err := parse(raw, key)
		if err != nil && scanner.Err() != nil {
			break // the line was cut off by a fault in reading, which is the cause
		}
		if err != nil {
			return nil, &lineError{line, err}
		}
		records = append(records, rec)
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return nil, &lineError{line, fmt.Errorf("line of more than %d bytes; want JSON Lines, one record a line, or a JSON array", maxLine)}
	}
	if scanner.Err() != nil {
		return nil, &lineError{line, scanner.Err()}
	}
	return records, nil
}

func readArray(r *bufio.Reader, lines *lineCounter, key string) ([]record, error) {
	start := lines.read - int64(r.Buffered())
	dec := json.NewDecoder(r)
	here := func() int { return lines.at(start + dec.InputOffset()) }
	if _, err := dec.Token(); err != nil { // the bracket
		return nil, &lineError{here(), err}
	}
	var records []record
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, &lineError{here(), fmt.Errorf("record %d of the array: %w", len(records)+1, err)}
		}
		rec, err := parse(raw, key)
		if err != nil {
			return nil, &lineError{lines.at(start + dec.InputOffset() - int64(len(raw))), err}
		}
		records = append(records, rec)
	}
	if _, err := dec.Token(); err != nil {
		return nil, &lineError{here(), fmt.Errorf("after record %d of the array: %w", len(records), err)}
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, &lineError{here(), errors.New("more after the end of the array; want one array, or JSON Lines")}
	}
	return records, nil
}

// lineCounter remembers where lines begin in what has been read through it.
type lineCounter struct {
	r        io.Reader
	read     int64   // bytes so far
	newlines []int64 // the offset of each line feed
}

func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			c.newlines = append(c.newlines, c.read+int64(i))
		}
	}
	c.read += int64(n)
	return n, err
}

// at returns the line, from 1, of the byte at offset.
func (c *lineCounter) at(offset int64) int {
	return 1 + sort.Search(len(c.newlines), func(i int) bool { return c.newlines[i] >= offset })
}
