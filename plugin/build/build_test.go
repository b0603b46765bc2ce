package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/dirhash"
)

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // in the error; empty: none
	}{
		{"", ""},
		{"-backend cuda -o x/ollama -v", ""},
		{"-o= -stock bin/s", ""},
		{"-exec -- go test ./...", ""},
		{"-test-upstream -- -v", ""},
		{"-backend metal", "-backend"},
		{"-o=", "nothing to build"},
		{"-o a/b -stock a/../a/b", "-stock"},
		{"-exec", "-exec"},
		{"-exec -test-upstream x", "exclude"},
		{"ollama", `"ollama"`},
	} {
		_, err := parseFlags(strings.Fields(tt.args), io.Discard)
		if got := err == nil; got != (tt.want == "") {
			t.Errorf("%q: error %v, want one with %q", tt.args, err, tt.want)
		} else if err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %q does not say %q", tt.args, err, tt.want)
		}
	}
}

// fakeModule is a module whose hash fits its files.
func fakeModule(t *testing.T, files map[string]string) module {
	t.Helper()
	m := module{Path: "example.com/m", Version: "v1.0.0", Dir: filepath.Join(t.TempDir(), "m")}
	write(t, m.Dir, files)
	var err error
	if m.Sum, err = dirhash.HashDir(m.Dir, m.Path+"@"+m.Version, dirhash.Hash1); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestVerify(t *testing.T) {
	for _, tt := range []struct {
		name   string
		tamper func(dir string) error
		ok     bool
	}{
		{"untouched", func(string) error { return nil }, true},
		{"changed", func(d string) error { return os.WriteFile(filepath.Join(d, "a.go"), []byte("package b\n"), 0o644) }, false},
		{"added", func(d string) error { return os.WriteFile(filepath.Join(d, "c.go"), nil, 0o644) }, false},
		{"removed", func(d string) error { return os.Remove(filepath.Join(d, "a.go")) }, false},
		{"renamed", func(d string) error { return os.Rename(filepath.Join(d, "a.go"), filepath.Join(d, "b.go")) }, false},
	} {
		m := fakeModule(t, map[string]string{"a.go": "package a\n", "x/y.h": "int y;\n"})
		if err := tt.tamper(m.Dir); err != nil {
			t.Fatal(err)
		}
		err := m.verify()
		if tt.ok && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !tt.ok && (err == nil || !strings.Contains(err.Error(), "module cache was changed")) {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

// testBuilder builds from a fake Ollama into a cache of its own.
func testBuilder(t *testing.T, m module, set patchSet) *builder {
	return &builder{upstream: m, cache: t.TempDir(), patches: set, step: stepper{w: io.Discard}}
}

func TestWithTree(t *testing.T) {
	patches := t.TempDir()
	write(t, patches, map[string]string{"1.patch": diffOf(goodHunk)})
	set, err := readPatches(patches)
	if err != nil {
		t.Fatal(err)
	}
	m := fakeModule(t, map[string]string{"s/poem.go": poem})
	b := testBuilder(t, m, set)
	file := filepath.Join(b.src(), "s", "poem.go")
	const patched = "one\ntwo\n3\n3.5\nfour\nfive\n"

	expect := func(what string, tr tree, want string) {
		t.Helper()
		ran := false
		err := b.withTree(tr, func() error {
			ran = true
			if diff := cmp.Diff(want, read(t, file)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
			return nil
		})
		if err != nil || !ran {
			t.Fatalf("%s: ran %v, error %v", what, ran, err)
		}
	}
	expect("patched", b.patchedTree(), patched)
	expect("patched again", b.patchedTree(), patched)
	expect("stock after patched", b.stockTree(), poem)
	expect("patched after stock", b.patchedTree(), patched)

	write(t, b.src(), map[string]string{"s/poem.go": "edited by hand\n"})
	expect("patched after an edit", b.patchedTree(), patched)
	write(t, b.src(), map[string]string{"s/stray.go": "package s\n"})
	expect("patched after an addition", b.patchedTree(), patched)
	if _, err := os.Stat(filepath.Join(b.src(), "s", "stray.go")); !os.IsNotExist(err) {
		t.Errorf("the stray file is still there: %v", err)
	}

	// Sharing one tree is fine, also from within a command that -exec runs; changing it is not.
	if err := b.withTree(b.patchedTree(), func() error {
		t.Setenv(nestedEnv, b.cache)
		expect("nested", b.patchedTree(), patched)
		return b.withTree(b.stockTree(), func() error { return nil })
	}); err == nil || !strings.Contains(err.Error(), "inside -exec") {
		t.Errorf("a nested build that wants another tree: error %v", err)
	}
}

// TestWithTreeFailure leaves no tree behind that a later run would take for a good one.
func TestWithTreeFailure(t *testing.T) {
	never := func() error { t.Error("fn was called"); return nil }

	m := fakeModule(t, map[string]string{"s/poem.go": poem})
	p, err := parsePatch("1.patch", []byte(diffOf("@@ -2,2 +2,2 @@\n too\n-three\n+3\n")))
	if err != nil {
		t.Fatal(err)
	}
	b := testBuilder(t, m, patchSet{patches: []patch{p}, hash: "x"})
	for range 2 {
		if err := b.withTree(b.patchedTree(), never); err == nil || !strings.Contains(err.Error(), "1.patch") {
			t.Errorf("a patch that does not fit: error %v", err)
		}
	}

	write(t, m.Dir, map[string]string{"s/poem.go": "tampered\n"})
	b = testBuilder(t, m, patchSet{})
	if err := b.withTree(b.stockTree(), never); err == nil || !strings.Contains(err.Error(), "go.sum says") {
		t.Errorf("a module cache that was changed: error %v", err)
	}
	if _, err := os.Stat(b.src()); !os.IsNotExist(err) {
		t.Errorf("unverified source was copied: %v", err)
	}
}

func TestStamp(t *testing.T) {
	root := t.TempDir()
	out := filepath.Join(root, "bin", "x")
	fresh := func() {
		write(t, root, map[string]string{
			"go.mod": "module m\n", "go.sum": "", "bin/x": "binary", "plugin/p.go": "package p\n",
			"plugin/p_test.go": "package p\n", "trainer/t.go": "package t\n", "plugin/deep/d.go": "package d\n",
		})
		if err := writeStamp(out, root, []string{"-O3"}, []string{filepath.Join(root, "plugin")}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name     string
		change   map[string]string
		settings string
		want     bool
	}{
		{"nothing", nil, "-O3", true},
		{"a test", map[string]string{"plugin/p_test.go": "package q\n"}, "-O3", true},
		{"a package that is not in it", map[string]string{"trainer/t.go": "package u\n"}, "-O3", true},
		{"a source", map[string]string{"plugin/p.go": "package q\n"}, "-O3", false},
		{"a new source", map[string]string{"plugin/new.go": "package p\n"}, "-O3", false},
		{"go.mod", map[string]string{"go.mod": "module n\n"}, "-O3", false},
		{"go.sum", map[string]string{"go.sum": "x"}, "-O3", false},
		{"the binary", map[string]string{"bin/x": "other"}, "-O3", false},
		{"flags", nil, "-O2", false},
	} {
		fresh()
		write(t, root, tt.change)
		if got := upToDate(out, root, []string{tt.settings}); got != tt.want {
			t.Errorf("after a change of %s: upToDate = %v", tt.name, got)
		}
		if err := os.RemoveAll(filepath.Join(root, "plugin")); err != nil {
			t.Fatal(err)
		}
	}
	fresh()
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	if upToDate(out, root, []string{"-O3"}) {
		t.Error("up to date without a binary")
	}

	// A source saved while the compiler ran: a build that began an hour ago may lack it.
	fresh()
	if err := writeStamp(out, root, []string{"-O3"}, []string{filepath.Join(root, "plugin")}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if upToDate(out, root, []string{"-O3"}) {
		t.Error("up to date although a source was written during the build")
	}
}

func TestHashGoFilesDeep(t *testing.T) {
	root := t.TempDir()
	hash := func() string {
		h, err := hashGoFiles(root, []string{filepath.Join(root, "plugin"), filepath.Join(root, "absent")}, true)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	write(t, root, map[string]string{"plugin/sub/a.go": "package a\n", "plugin/build/main.go": "package main\n"})
	before := hash()
	write(t, root, map[string]string{"plugin/build/main.go": "changed", "plugin/testdata/x.go": "x", "plugin/a_test.go": "x"})
	if hash() != before {
		t.Error("what is not in the binary changes the hash")
	}
	write(t, root, map[string]string{"plugin/sub/a.go": "package b\n"})
	if hash() == before {
		t.Error("a source does not change the hash")
	}
}

func TestHeaders(t *testing.T) {
	near, far := t.TempDir(), t.TempDir()
	miniaudio := filepath.Join(far, "miniaudio.h")
	write(t, far, map[string]string{"nlohmann/json.hpp": "far", "stb/stb_image.h": "stb", "stb/stb_ds.h": "no", "miniaudio.h": "audio"})

	_, err := collectHeaders([]string{near}, miniaudio)
	if err == nil || !strings.Contains(err.Error(), "nlohmann-json3-dev") || !strings.Contains(err.Error(), "libstb-dev") {
		t.Errorf("missing headers: error %v does not name both packages", err)
	}
	h, err := collectHeaders([]string{near, far}, miniaudio)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"miniaudio/miniaudio.h", "nlohmann/json.hpp", "stb/stb_image.h"}, h.names()); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	dir := filepath.Join(t.TempDir(), "include")
	for range 2 {
		if err := h.installOnce(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, filepath.Join(dir, "stb", "stb_image.h")); got != "stb" {
		t.Errorf("installed header holds %q", got)
	}

	write(t, near, map[string]string{"nlohmann/json.hpp": "near"})
	other, err := collectHeaders([]string{near, far}, miniaudio)
	if err != nil {
		t.Fatal(err)
	}
	if other.hash == h.hash {
		t.Error("another json.hpp has the same hash")
	}
	if other.files["nlohmann/json.hpp"] != filepath.Join(near, "nlohmann", "json.hpp") {
		t.Errorf("json.hpp is taken from %s, not from the first folder", other.files["nlohmann/json.hpp"])
	}
}

func TestWithModfile(t *testing.T) {
	for _, tt := range []struct{ goflags, gomod, want string }{
		{"", "/r/build/go.mod", "-modfile=/r/build/go.mod"},
		{"-buildvcs=false -race", "/r/go.mod", "-buildvcs=false -race -modfile=/r/go.mod"},
		{"-modfile=/old/go.mod -race", "/r/go.mod", "-race -modfile=/r/go.mod"},
		{"", "/a b/go.mod", "'-modfile=/a b/go.mod'"},
		{"-race '-modfile=/a b/go.mod'", "/a b/go.mod", "-race '-modfile=/a b/go.mod'"},
	} {
		if got := withModfile(tt.goflags, tt.gomod); got != tt.want {
			t.Errorf("withModfile(%q, %q) = %q, want %q", tt.goflags, tt.gomod, got, tt.want)
		}
	}
}

func TestWithFlags(t *testing.T) {
	const ours = "-I/c/include -DX=0x1"
	for users, want := range map[string]string{"": ours, "-DY": ours + " -DY", ours: ours, ours + " -DY": ours + " -DY"} {
		if got := withFlags(users, ours); got != want {
			t.Errorf("withFlags(%q) = %q, want %q", users, got, want)
		}
	}
}

func TestSumOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "go.sum")
	if err := os.WriteFile(file, []byte("a/b v1 h1:xx=\na/b v1/go.mod h1:yy=\na/b v2 h1:zz=\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := sumOf(file, "a/b", "v1"); err != nil || got != "h1:xx=" {
		t.Errorf("sumOf = %q, %v", got, err)
	}
	if _, err := sumOf(file, "a/b", "v3"); err == nil || !strings.Contains(err.Error(), "a/b v3") {
		t.Errorf("a version without a line: error %v", err)
	}
}
