// Package integration holds the tests and benchmarks of the whole: the real bin/ollama, a
// real model, the real trainer. `make integration-test` builds what they need and runs
// them with the build tag patched. It is not for what one package can test on its own,
// and nothing imports it.
package integration

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageComments fails for a package without a comment: a newcomer who opens a folder
// must learn there what lives in it and what it is not for.
func TestPackageComments(t *testing.T) {
	root := ".."
	packages := 0
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		// What the go command leaves out, and the build's own module.
		name := d.Name()
		if dir != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || dir == filepath.Join(root, "build")) {
			return filepath.SkipDir
		}
		pkg, err := build.ImportDir(dir, 0)
		if _, empty := err.(*build.NoGoError); empty {
			return nil
		}
		if err != nil {
			return err
		}
		packages++
		// A folder of tests only has its comment in one of them.
		files := append(append(append([]string{}, pkg.GoFiles...), pkg.CgoFiles...), pkg.TestGoFiles...)
		if comment := packageComment(t, dir, files); len(strings.Fields(comment)) < 10 {
			t.Errorf("package %s (%s): the package comment is %q; say what the package is and what it is not for", pkg.Name, dir, comment)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if packages < 5 {
		t.Fatalf("only %d packages found below %s: the test looks in the wrong place", packages, root)
	}
}

// packageComment returns the longest package comment of the files.
func packageComment(t *testing.T, dir string, files []string) string {
	t.Helper()
	longest := ""
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		if c := docText(f.Doc); len(c) > len(longest) {
			longest = c
		}
	}
	return longest
}

func docText(doc *ast.CommentGroup) string {
	if doc == nil {
		return ""
	}
	return strings.TrimSpace(doc.Text())
}
