package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// binaryStamp remembers what a binary was made from, so that a build with nothing to do
// does nothing.
type binaryStamp struct {
	Inputs string   // hash over settings, go.mod, go.sum and our packages' Go files
	Dirs   []string // our packages in it, relative to the root
	Binary string   // hash of the binary itself
}

func stampFile(out string) string {
	return filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+".stamp")
}

// upToDate says whether out is what a build with these settings would make. The packages
// it is made of are those of the last build: more can only join by a change in one of them.
func upToDate(out, root string, settings []string) bool {
	var stamp binaryStamp
	data, err := os.ReadFile(stampFile(out))
	if err != nil || json.Unmarshal(data, &stamp) != nil {
		return false
	}
	inputs, err := hashInputs(root, settings, stamp.Dirs)
	if err != nil || inputs != stamp.Inputs {
		return false
	}
	binary, err := hashFile(out)
	return err == nil && binary == stamp.Binary
}

// writeStamp notes that out was just made by a build that began at began; dirs are
// absolute. If an input was written since, nobody knows whether it is in out: then there
// is no stamp, and the next build makes out again.
func writeStamp(out, root string, settings, dirs []string, began time.Time) error {
	if err := os.Remove(stampFile(out)); err != nil && !os.IsNotExist(err) {
		return err
	}
	stamp := binaryStamp{}
	for _, d := range dirs {
		if changed, err := changedSince(began, root, d); changed || err != nil {
			return err
		}
		rel, err := filepath.Rel(root, d)
		if err != nil {
			return err
		}
		stamp.Dirs = append(stamp.Dirs, rel)
	}
	var err error
	if stamp.Inputs, err = hashInputs(root, settings, stamp.Dirs); err != nil {
		return err
	}
	if stamp.Binary, err = hashFile(out); err != nil {
		return err
	}
	return writeJSON(stampFile(out), stamp)
}

// changedSince says whether go.mod, go.sum or a file in dir was written at t or later.
func changedSince(t time.Time, root, dir string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return false, err
	}
	for _, f := range append(files, dir, filepath.Join(root, "go.mod"), filepath.Join(root, "go.sum")) {
		info, err := os.Stat(f)
		if err != nil {
			return false, err
		}
		if !info.ModTime().Before(t) {
			return true, nil
		}
	}
	return false, nil
}

func hashInputs(root string, settings, dirs []string) (string, error) {
	sum := sha256.New()
	for _, s := range settings {
		fmt.Fprintf(sum, "%q\n", s)
	}
	for _, f := range []string{"go.mod", "go.sum"} {
		h, err := hashFile(filepath.Join(root, f))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, f, h)
	}
	var abs []string
	for _, d := range dirs {
		abs = append(abs, filepath.Join(root, d))
	}
	sources, err := hashGoFiles(root, abs, false)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(sum, sources)
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// hashGoFiles hashes names and contents of the Go files in dirs, tests apart; with deep
// also those of the folders below, apart from this program and test data. A folder that
// does not exist has no files.
func hashGoFiles(root string, dirs []string, deep bool) (string, error) {
	var files []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case os.IsNotExist(err) && path == dir:
				return nil
			case err != nil:
				return err
			case d.IsDir() && path != dir && (!deep || d.Name() == "testdata" || path == filepath.Join(root, "plugin", "build")):
				return filepath.SkipDir
			case !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	sort.Strings(files)
	sum := sha256.New()
	for _, f := range files {
		rel, err := filepath.Rel(root, f)
		if err != nil {
			return "", err
		}
		h, err := hashFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, filepath.ToSlash(rel), h)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// writeFile replaces path as a whole, and leaves it alone if it holds data already: other
// processes may be reading it.
func writeFile(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.tmp-%d", path, os.Getpid())
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'))
}
