package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// dropInSuffix marks a file of ours that goes into Ollama's tree as X.go and is stored
// as X.go.in: under its real name the go command would compile it here.
const dropInSuffix = ".in"

// patchSet is all we change in Ollama: whole files that are new, and call sites.
type patchSet struct {
	patches []patch
	dropIns []dropIn
	hash    string // over names and contents of both, hexadecimal
}

type patch struct {
	name   string
	header string // what stands before the first diff: why, how to verify, when it can go
	files  []*gitdiff.File
}

type dropIn struct {
	path    string // in Ollama's tree, with slashes
	content []byte
}

// readPatches reads dir/*.patch in name order and dir/files/**. A folder without either,
// or none at all, is an empty set.
func readPatches(dir string) (patchSet, error) {
	var s patchSet
	sum := sha256.New()
	names, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return s, err
	}
	sort.Strings(names)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return s, err
		}
		p, err := parsePatch(filepath.Base(name), data)
		if err != nil {
			return s, err
		}
		s.patches = append(s.patches, p)
		fmt.Fprintf(sum, "patch %s %d\n%s", p.name, len(data), data)
	}
	if s.dropIns, err = readDropIns(filepath.Join(dir, "files")); err != nil {
		return s, err
	}
	for _, d := range s.dropIns {
		fmt.Fprintf(sum, "file %s %d\n%s", d.path, len(d.content), d.content)
	}
	s.hash = hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// parsePatch accepts a git diff that changes lines of existing text files, which is all
// that a call site needs.
func parsePatch(name string, data []byte) (patch, error) {
	files, header, err := gitdiff.Parse(bytes.NewReader(data))
	if err != nil {
		return patch{}, fmt.Errorf("parse %s: %w", name, err)
	}
	if len(files) == 0 {
		return patch{}, fmt.Errorf("parse %s: there is no diff in it: make it with `git diff`", name)
	}
	for _, f := range files {
		file := f.NewName
		if file == "" {
			file = f.OldName
		}
		switch {
		case f.IsNew:
			return patch{}, fmt.Errorf("parse %s: %s is a new file: put it under plugin/patches/files", name, file)
		case f.IsDelete, f.IsRename, f.IsCopy, f.IsBinary, f.NewMode != 0 && f.NewMode != f.OldMode, len(f.TextFragments) == 0:
			return patch{}, fmt.Errorf("parse %s: %s: only lines of existing text files may change", name, file)
		case !filepath.IsLocal(filepath.FromSlash(file)):
			return patch{}, fmt.Errorf("parse %s: %q leads out of Ollama's tree", name, file)
		}
	}
	return patch{name: name, header: strings.TrimSpace(header), files: files}, nil
}

func readDropIns(dir string) ([]dropIn, error) {
	var found []dropIn
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && file == dir {
			return nil // no drop-ins at all
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		target, ok := strings.CutSuffix(filepath.ToSlash(rel), dropInSuffix)
		if !ok {
			return fmt.Errorf("drop-in %s: store it as %[1]s%s, or the go command takes it for a file of this module", rel, dropInSuffix)
		}
		content, err := os.ReadFile(file)
		found = append(found, dropIn{path: target, content: content})
		return err
	})
	return found, err
}

// apply adds the drop-ins to the fresh copy in tree, then applies the patches in order.
// After an error the tree is worthless.
func (s patchSet) apply(tree string) error {
	for _, d := range s.dropIns {
		if err := d.apply(tree); err != nil {
			return err
		}
	}
	for _, p := range s.patches {
		for _, f := range p.files {
			if err := p.applyFile(tree, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// apply writes the drop-in, unless a file of that name exists: then Ollama has one too,
// and replacing it whole would hide what changed.
func (d dropIn) apply(tree string) error {
	file := filepath.Join(tree, filepath.FromSlash(d.path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("drop-in %s: %w", d.path, err)
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("drop-in %s: Ollama has a file of that name: rename the drop-in, or make it a patch", d.path)
	}
	if err != nil {
		return fmt.Errorf("drop-in %s: %w", d.path, err)
	}
	_, err = out.Write(d.content)
	return errors.Join(err, out.Close())
}

// applyFile applies one file's hunks: every line must stand exactly where the hunk says.
func (p patch) applyFile(tree string, f *gitdiff.File) error {
	file := filepath.Join(tree, filepath.FromSlash(f.NewName))
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("apply %s: %s: %w: patches are made with `git diff` in Ollama's root", p.name, f.NewName, err)
	}
	old, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("apply %s: %w", p.name, err)
	}
	var patched bytes.Buffer
	if err := gitdiff.Apply(&patched, bytes.NewReader(old), f); err != nil {
		return p.reject(f, err)
	}
	return os.WriteFile(file, patched.Bytes(), info.Mode())
}

// reject says which hunk of which file of which patch does not fit.
func (p patch) reject(f *gitdiff.File, err error) error {
	where := f.NewName
	if at := (*gitdiff.ApplyError)(nil); errors.As(err, &at) && at.Fragment > 0 && at.Fragment <= len(f.TextFragments) {
		where = fmt.Sprintf("%s: hunk %d of %d (%s), line %d", where, at.Fragment, len(f.TextFragments),
			strings.TrimSpace(f.TextFragments[at.Fragment-1].Header()), at.Line)
	}
	return fmt.Errorf("apply %s: %s: %w: make the patch anew against the pinned Ollama", p.name, where, err)
}

// lines counts the lines that the patches add to and remove from Ollama's files.
func (s patchSet) lines() (added, removed int64) {
	for _, p := range s.patches {
		for _, f := range p.files {
			for _, h := range f.TextFragments {
				added += h.LinesAdded
				removed += h.LinesDeleted
			}
		}
	}
	return added, removed
}

// packages lists the import paths of the Go packages that the set touches, sorted.
func (s patchSet) packages() []string {
	dirs := map[string]bool{}
	note := func(file string) {
		if strings.HasSuffix(file, ".go") {
			dirs[path.Join(ollamaPath, path.Dir(file))] = true
		}
	}
	for _, d := range s.dropIns {
		note(d.path)
	}
	for _, p := range s.patches {
		for _, f := range p.files {
			note(f.NewName)
		}
	}
	list := make([]string, 0, len(dirs))
	for d := range dirs {
		list = append(list, d)
	}
	sort.Strings(list)
	return list
}

func (s patchSet) String() string {
	added, removed := s.lines()
	return fmt.Sprintf("%d patches (+%d -%d lines), %d files of ours", len(s.patches), added, removed, len(s.dropIns))
}
