package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/sumdb/dirhash"
)

const (
	selfPath   = "github.com/proxy-rlhf/proxy-rlhf"
	ollamaPath = "github.com/ollama/ollama"
	malgoPath  = "github.com/gen2brain/malgo" // carries miniaudio.h
)

// module is one dependency as go.mod and go.sum pin it.
type module struct {
	Path, Version string
	Sum           string // go.sum's h1: of the module's files
	Dir           string // its folder in the module cache
}

// findModule reads path's version and hash from go.mod and go.sum in root, and has the
// go command fetch it if the module cache lacks it.
func findModule(root, path string) (module, error) {
	m := module{Path: path}
	gomod := filepath.Join(root, "go.mod")
	data, err := os.ReadFile(gomod)
	if err != nil {
		return m, err
	}
	f, err := modfile.Parse(gomod, data, nil)
	if err != nil {
		return m, err
	}
	for _, r := range f.Require {
		if r.Mod.Path == path {
			m.Version = r.Mod.Version
		}
	}
	if m.Version == "" {
		return m, fmt.Errorf("%s does not require %s: restore the line with `go get %[2]s`", gomod, path)
	}
	if m.Sum, err = sumOf(filepath.Join(root, "go.sum"), path, m.Version); err != nil {
		return m, err
	}
	m.Dir, err = download(root, path+"@"+m.Version)
	return m, err
}

func sumOf(gosum, path, version string) (string, error) {
	data, err := os.ReadFile(gosum)
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) == 3 && f[0] == path && f[1] == version {
			return f[2], nil
		}
	}
	return "", fmt.Errorf("%s has no line for %s %s: restore it with `git checkout go.sum`", gosum, path, version)
}

// download returns the folder of the module path@version in the module cache.
func download(root, query string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", query)
	cmd.Dir = root
	// A caller's -modfile or -mod says nothing about where the module cache is.
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	out, err := cmd.Output()
	var info struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &info); err == nil {
		err = jsonErr
	}
	if info.Error != "" {
		return "", fmt.Errorf("go mod download %s: %s", query, info.Error)
	}
	if err != nil {
		return "", fmt.Errorf("go mod download %s: %w", query, err)
	}
	return info.Dir, nil
}

// verify compares the module's folder with its hash in go.sum. The go command does that
// only when it unpacks a module, so a file changed in the cache since then would go unseen.
func (m module) verify() error {
	got, err := dirhash.HashDir(m.Dir, m.Path+"@"+m.Version, dirhash.Hash1)
	if err != nil {
		return fmt.Errorf("verify %s@%s: %w", m.Path, m.Version, err)
	}
	if got != m.Sum {
		return fmt.Errorf("verify %s@%s: %s hashes to %s, but go.sum says %s: the module cache was changed; run `go clean -modcache` and try again",
			m.Path, m.Version, m.Dir, got, m.Sum)
	}
	return nil
}

// shortSum is the first 8 hexadecimal digits of the module's hash, fit for a folder's name.
func (m module) shortSum() (string, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:"))
	if err != nil || len(raw) < 4 || !strings.HasPrefix(m.Sum, "h1:") {
		return "", fmt.Errorf("go.sum: %q of %s is not an h1: hash", m.Sum, m.Path)
	}
	return hex.EncodeToString(raw[:4]), nil
}

// cacheFolder is the one place where this module's copy lives for all checkouts of all
// branches; base overrides the user's cache folder.
func cacheFolder(base string, m module) (string, error) {
	if base == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the user's cache folder: %w; name one with -cache", err)
		}
		base = filepath.Join(dir, "proxy-rlhf")
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return "", err
	}
	sum, err := m.shortSum()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, fmt.Sprintf("%s-%s-%s", filepath.Base(m.Path), m.Version, sum))
	// The folder ends up in compiler flags that are split at spaces.
	if strings.ContainsAny(dir, " \t'\"") {
		return "", fmt.Errorf("cache folder %q: cgo's flags cannot carry a path with spaces or quotes; name another with -cache", dir)
	}
	return dir, os.MkdirAll(dir, 0o755)
}

func readGoEnv() (map[string]string, error) {
	out, err := exec.Command("go", "env", "-json", "GOMOD", "GOFLAGS", "GOVERSION", "GOOS", "GOARCH", "CC", "CXX", "CGO_ENABLED").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	env := map[string]string{}
	if err := json.Unmarshal(out, &env); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	if env["CGO_ENABLED"] != "1" {
		return nil, fmt.Errorf("CGO_ENABLED is %q: Ollama's back ends are C and C++; set it to 1 and install a C++ compiler", env["CGO_ENABLED"])
	}
	return env, nil
}
