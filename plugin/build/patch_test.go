package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write makes files, given as name → content, below dir.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// diffOf makes a patch that changes one line of s/poem.go between two lines of context.
func diffOf(hunk string) string {
	return "Why: a test.\n\ndiff --git a/s/poem.go b/s/poem.go\n--- a/s/poem.go\n+++ b/s/poem.go\n" + hunk
}

const (
	poem     = "one\ntwo\nthree\nfour\nfive\n"
	goodHunk = "@@ -2,3 +2,4 @@\n two\n-three\n+3\n+3.5\n four\n"
)

func TestPatchSetApplies(t *testing.T) {
	patches, tree := t.TempDir(), t.TempDir()
	write(t, patches, map[string]string{
		"0002-second.patch":  diffOf("@@ -3,2 +3,2 @@\n-3\n+III\n 3.5\n"), // fits only after the first
		"0001-first.patch":   diffOf(goodHunk),
		"files/s/ours.go.in": "package s\n",
		"files/new/x.go.in":  "package new\n",
	})
	write(t, tree, map[string]string{"s/poem.go": poem})

	set, err := readPatches(patches)
	if err != nil {
		t.Fatal(err)
	}
	if err := set.apply(tree); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("one\ntwo\nIII\n3.5\nfour\nfive\n", read(t, filepath.Join(tree, "s/poem.go"))); diff != "" {
		t.Errorf("patched file (-want +got):\n%s", diff)
	}
	if got := read(t, filepath.Join(tree, "s/ours.go")); got != "package s\n" {
		t.Errorf("drop-in holds %q", got)
	}
	if diff := cmp.Diff([]string{ollamaPath + "/new", ollamaPath + "/s"}, set.packages()); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if added, removed := set.lines(); added != 3 || removed != 2 {
		t.Errorf("lines() = +%d -%d, want +3 -2", added, removed)
	}
	// The same patches on the patched tree are refused: a tree is made from scratch or not at all.
	if err := set.apply(tree); err == nil {
		t.Error("a patched tree could be patched again")
	}
}

func TestPatchRejects(t *testing.T) {
	for _, tt := range []struct {
		name, patch string
		want        []string // all must be in the error
	}{
		{"context differs", diffOf("@@ -2,3 +2,3 @@\n two \n-three\n+3\n four\n"),
			[]string{"p.patch", "s/poem.go", "hunk 1 of 1", "line 2", "does not match"}},
		{"removed line differs", diffOf("@@ -2,3 +2,3 @@\n two\n-Three\n+3\n four\n"), []string{"line 3", "does not match"}},
		{"one line off", diffOf("@@ -1,3 +1,3 @@\n two\n-three\n+3\n four\n"), []string{"hunk 1 of 1", "does not match"}},
		{"one line off, the other way", diffOf("@@ -3,3 +3,3 @@\n two\n-three\n+3\n four\n"), []string{"hunk 1 of 1"}},
		{"second hunk", diffOf("@@ -1,2 +1,2 @@\n-one\n+1\n two\n@@ -4,2 +4,2 @@\n fourth\n-five\n+5\n"), []string{"hunk 2 of 2", "line 4"}},
		{"beyond the end", diffOf("@@ -5,2 +5,3 @@\n five\n six\n+seven\n"), []string{"fewer lines"}},
		{"no such file", strings.ReplaceAll(diffOf(goodHunk), "poem", "prose"), []string{"s/prose.go", "no such file"}},
		{"count is wrong", diffOf("@@ -2,3 +2,3 @@\n two\n-three\n four\n"), []string{"p.patch"}},
		{"new file", "diff --git a/n.go b/n.go\nnew file mode 100644\n--- /dev/null\n+++ b/n.go\n@@ -0,0 +1 @@\n+package n\n", []string{"n.go", "plugin/patches/files"}},
		{"deletion", "diff --git a/s/poem.go b/s/poem.go\ndeleted file mode 100644\n--- a/s/poem.go\n+++ /dev/null\n@@ -1,5 +0,0 @@\n-one\n-two\n-three\n-four\n-five\n", []string{"only lines"}},
		{"rename", "diff --git a/s/poem.go b/s/ode.go\nsimilarity index 100%\nrename from s/poem.go\nrename to s/ode.go\n", []string{"only lines"}},
		{"mode", "diff --git a/s/poem.go b/s/poem.go\nold mode 100644\nnew mode 100755\n", []string{"only lines"}},
		{"out of the tree", strings.ReplaceAll(diffOf(goodHunk), "s/poem", "../poem"), []string{"leads out"}},
		{"no diff", "Why: forgotten.\n", []string{"no diff"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			patches, tree := t.TempDir(), t.TempDir()
			write(t, patches, map[string]string{"p.patch": tt.patch})
			write(t, tree, map[string]string{"s/poem.go": poem})
			set, err := readPatches(patches)
			if err == nil {
				err = set.apply(tree)
			}
			if err == nil {
				t.Fatal("the patch was accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if got := read(t, filepath.Join(tree, "s/poem.go")); got != poem {
				t.Errorf("the rejected file was changed to %q", got)
			}
		})
	}
}

func TestDropInRefusals(t *testing.T) {
	patches, tree := t.TempDir(), t.TempDir()
	write(t, tree, map[string]string{"s/poem.go": poem})
	write(t, patches, map[string]string{"files/s/poem.go.in": "package s\n"})
	set, err := readPatches(patches)
	if err != nil {
		t.Fatal(err)
	}
	if err := set.apply(tree); err == nil || !strings.Contains(err.Error(), "s/poem.go: Ollama has a file of that name") {
		t.Errorf("overwriting an upstream file: error %v", err)
	}
	if got := read(t, filepath.Join(tree, "s/poem.go")); got != poem {
		t.Errorf("the upstream file was overwritten with %q", got)
	}

	write(t, patches, map[string]string{"files/s/other.go": "package s\n"})
	if _, err := readPatches(patches); err == nil || !strings.Contains(err.Error(), "other.go.in") {
		t.Errorf("a drop-in without the suffix: error %v", err)
	}
}

func TestPatchSetHash(t *testing.T) {
	hash := func(files map[string]string) string {
		dir := t.TempDir()
		write(t, dir, files)
		set, err := readPatches(dir)
		if err != nil {
			t.Fatal(err)
		}
		return set.hash
	}
	seen := map[string]string{}
	for name, files := range map[string]map[string]string{
		"none":             {},
		"a patch":          {"1.patch": diffOf(goodHunk)},
		"its name":         {"2.patch": diffOf(goodHunk)},
		"its header":       {"1.patch": "More. " + diffOf(goodHunk)},
		"a drop-in":        {"files/a.go.in": "package a\n"},
		"drop-in's folder": {"files/a/a.go.in": "package a\n"},
	} {
		h := hash(files)
		if other, ok := seen[h]; ok {
			t.Errorf("%q and %q have the same hash", name, other)
		}
		seen[h] = name
		if again := hash(files); again != h {
			t.Errorf("%q hashes to %s, then to %s", name, h, again)
		}
	}
}

// TestOurPatches applies the patches of this repository to a copy of the pinned Ollama.
func TestOurPatches(t *testing.T) {
	root := filepath.Join("..", "..")
	set, err := readPatches(filepath.Join(root, "plugin", "patches"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range set.patches {
		if len(strings.Fields(p.header)) < 10 {
			t.Errorf("%s: its header is %q; say why it is there, how to verify it and when it can go", p.name, p.header)
		}
	}
	ollama, err := findModule(root, ollamaPath)
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "src")
	if err := copyTree(tree, ollama.Dir); err != nil {
		t.Fatal(err)
	}
	if err := set.apply(tree); err != nil {
		t.Fatal(err)
	}
}
