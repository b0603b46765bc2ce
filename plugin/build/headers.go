package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
)

// headers are the C++ headers that llama.cpp keeps in vendor/ and the Go module's zip
// leaves out, under the names by which its sources include them.
type headers struct {
	files map[string]string // include name, slashes → file
	hash  string            // over names and contents, hexadecimal
}

// headerPackage is one set of headers that the system's package manager brings.
type headerPackage struct {
	name    string   // of the folder that sources include it by
	probe   string   // a file in it that must exist
	only    []string // the files wanted; empty: all
	install string   // what brings it
}

var headerPackages = []headerPackage{
	{name: "nlohmann", probe: "json.hpp",
		install: "`apt-get install nlohmann-json3-dev`, `dnf install json-devel` or `brew install nlohmann-json`"},
	{name: "stb", probe: "stb_image.h", only: []string{"stb_image.h"},
		install: "`apt-get install libstb-dev`, `dnf install stb_image-devel`, or put https://github.com/nothings/stb at /usr/local/include/stb"},
}

// findHeaders looks for the system's headers where package managers put them, takes
// miniaudio.h from the malgo module, and hashes all.
func findHeaders(malgo module) (headers, error) {
	if err := malgo.verify(); err != nil {
		return headers{}, err
	}
	return collectHeaders(includeFolders(), filepath.Join(malgo.Dir, "miniaudio.h"))
}

func collectHeaders(folders []string, miniaudio string) (headers, error) {
	h := headers{files: map[string]string{"miniaudio/miniaudio.h": miniaudio}}
	var missing []error
	for _, p := range headerPackages {
		if err := p.find(folders, h.files); err != nil {
			missing = append(missing, err)
		}
	}
	if len(missing) > 0 {
		return headers{}, errors.Join(missing...)
	}
	sum := sha256.New()
	for _, name := range h.names() {
		data, err := os.ReadFile(h.files[name])
		if err != nil {
			return headers{}, fmt.Errorf("read header %s: %w", name, err)
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(data))
		sum.Write(data)
	}
	h.hash = hex.EncodeToString(sum.Sum(nil))
	return h, nil
}

// find adds p's headers to files, from the first of the folders that has them.
func (p headerPackage) find(folders []string, files map[string]string) error {
	for _, folder := range folders {
		dir := filepath.Join(folder, p.name)
		if _, err := os.Stat(filepath.Join(dir, p.probe)); err != nil {
			continue
		}
		if len(p.only) > 0 {
			for _, f := range p.only {
				files[p.name+"/"+f] = filepath.Join(dir, f)
			}
			return nil
		}
		return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(folder, path)
			files[filepath.ToSlash(rel)] = path
			return err
		})
	}
	return fmt.Errorf("header %s/%s not found in %s: %s",
		p.name, p.probe, strings.Join(folders, ", "), p.install)
}

// includeFolders lists where headers may be, the most specific first: CPATH (what the
// compilers read too), Homebrew's prefix, the system's.
func includeFolders() []string {
	folders := filepath.SplitList(os.Getenv("CPATH"))
	if runtime.GOOS == "darwin" {
		if out, err := exec.Command("brew", "--prefix").Output(); err == nil {
			folders = append(folders, filepath.Join(strings.TrimSpace(string(out)), "include"))
		}
	}
	return append(folders, "/usr/local/include", "/usr/include")
}

func (h headers) names() []string {
	names := make([]string, 0, len(h.files))
	for name := range h.files {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// installOnce puts the headers into dir. The name of dir carries their hash, so one that
// exists is right; it appears whole or not at all.
func (h headers) installOnce(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	tmp := fmt.Sprintf("%s.tmp-%d", dir, os.Getpid())
	defer os.RemoveAll(tmp)
	for _, name := range h.names() {
		if err := copyFile(filepath.Join(tmp, filepath.FromSlash(name)), h.files[name]); err != nil {
			return fmt.Errorf("install header %s: %w", name, err)
		}
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("install headers: %w", err)
	}
	return nil
}
