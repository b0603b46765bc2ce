package run

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gofrs/flock"
)

// Names of files that every run folder has.
const (
	ConfigFile  = "config.yaml"
	MetricsFile = "metrics.jsonl"

	lockFile = ".lock"
)

// tempMark is in the names of files that are being written. What has it when a
// folder is opened was left by a process that was killed.
const tempMark = ".tmp-"

// ErrInUse says that another process, or another Folder of this one, has the
// folder open.
var ErrInUse = errors.New("in use by another process; wait for it to end, or choose another folder")

// OtherRunError says that a folder holds a run of another configuration. Going
// on in it would mix the records of two runs.
type OtherRunError struct {
	Dir  string
	Line int // the first line of config.yaml that differs, from 1
	Have string
	Want string
}

func (e *OtherRunError) Error() string {
	return fmt.Sprintf("run: open %s: it holds a run of another configuration (%s, line %d: %q, now %q); remove the folder, choose another, or resume with the configuration in it",
		e.Dir, ConfigFile, e.Line, e.Have, e.Want)
}

// Folder is an open run folder. Open makes one; its zero value is of no use.
type Folder struct {
	dir   string
	lock  *flock.Flock
	disk  disk
	lines sync.Mutex // one line at a time

	metrics     sync.Mutex // metrics.jsonl and its copy in the same order
	eventsAgree bool       // EventsFile has all of metrics.jsonl
}

// Open creates dir, with its parents, or opens the one of an earlier run, and
// locks it against other processes until Close.
//
// resolved is the configuration of the run, in YAML. It is written to config.yaml;
// if that exists already and differs, the error is an *OtherRunError, unless only
// the top-level keys named in places differ: those say where a run takes place and
// not what it is, so that a run can be moved. nil leaves config.yaml alone, for who
// goes on with what is there.
//
// A last line without an end in a .jsonl file, and files that were being
// written, are what a killed process leaves behind: Open removes them.
func Open(dir string, resolved []byte, places ...string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, wrap("create", dir, dir, err)
	}
	f := &Folder{dir: dir, lock: flock.New(filepath.Join(dir, lockFile)), disk: osDisk{}}
	locked, err := f.lock.TryLock()
	if err != nil {
		return nil, wrap("lock", dir, dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("run: open %s: %w", dir, ErrInUse)
	}
	if err := f.prepare(resolved, places); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// prepare does what is left to do once the folder is locked.
func (f *Folder) prepare(resolved []byte, places []string) error {
	if err := f.clean(); err != nil {
		return err
	}
	if resolved == nil {
		return nil
	}
	have, err := os.ReadFile(f.Path(ConfigFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return wrap("read", f.Path(ConfigFile), f.dir, err)
	case bytes.Equal(have, resolved):
		return nil
	default:
		if err := otherRun(f.dir, have, resolved, places); err != nil {
			return err
		}
	}
	return f.WriteFile(ConfigFile, resolved)
}

// otherRun returns an *OtherRunError for the first line that differs outside of places.
func otherRun(dir string, have, want []byte, places []string) error {
	h, w := without(have, places), without(want, places)
	for i := range max(len(h), len(w)) {
		e := &OtherRunError{Dir: dir, Line: i + 1}
		if i < len(h) {
			e.Have = h[i]
		}
		if i < len(w) {
			e.Want = w[i]
		}
		if e.Have != e.Want {
			return e
		}
	}
	return nil
}

// without returns the lines of a YAML text, those of the given top-level keys empty.
func without(text []byte, keys []string) []string {
	lines := strings.Split(string(text), "\n")
	inside := false
	for i, line := range lines {
		if line != "" && line[0] != ' ' {
			key, _, _ := strings.Cut(line, ":")
			inside = slices.Contains(keys, key)
		}
		if inside {
			lines[i] = ""
		}
	}
	return lines
}

// clean removes what a killed process left behind.
func (f *Folder) clean() error {
	return filepath.WalkDir(f.dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return wrap("look through", path, f.dir, err)
		case !entry.Type().IsRegular():
			return nil
		case strings.HasPrefix(entry.Name(), ".") && strings.Contains(entry.Name(), tempMark):
			return wrap("remove left-over", path, f.dir, os.Remove(path))
		case filepath.Ext(path) == ".jsonl":
			return wrap("cut the torn last line off", path, f.dir, cutTornLine(path))
		}
		return nil
	})
}

// Dir returns the folder's path, as it was given to Open.
func (f *Folder) Dir() string { return f.dir }

// Path returns the path of a file in the folder.
func (f *Folder) Path(name string) string { return filepath.Join(f.dir, name) }

// Close unlocks the folder. Nothing is buffered, so nothing is written.
func (f *Folder) Close() error {
	return wrap("unlock", f.dir, f.dir, f.lock.Close())
}

// local refuses names that lead out of the folder, or to its lock.
func (f *Folder) local(name string) error {
	if !filepath.IsLocal(name) || filepath.Clean(name) == "." || filepath.Clean(name) == lockFile {
		return fmt.Errorf("run: %q is no name for a file in %s: want a relative path that stays inside", name, f.dir)
	}
	return nil
}
