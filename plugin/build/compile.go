package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
)

// build makes the binary out from t, unless its stamp says that nothing has changed.
func (b *builder) build(t tree, out string) error {
	if !filepath.IsAbs(out) {
		out = filepath.Join(b.root, out)
	}
	env, err := b.environment()
	if err != nil {
		return err
	}
	ldflags, err := b.ldflags(t)
	if err != nil {
		return err
	}
	settings := append([]string{t.key, ldflags, b.goEnv["GOVERSION"], b.goEnv["GOOS"], b.goEnv["GOARCH"], b.goEnv["CC"], b.goEnv["CXX"]}, env...)

	done := b.step.start(t.name)
	if upToDate(out, b.root, settings) {
		done("%s is up to date", b.short(out))
		return nil
	}
	return b.withTree(t, func() error {
		done, began := b.step.start(t.name), time.Now()
		if err := b.compile(out, ldflags, env); err != nil {
			return err
		}
		dirs, err := b.ownPackages(env)
		if err != nil {
			return err
		}
		if err := writeStamp(out, b.root, settings, dirs, began); err != nil {
			return err
		}
		done("%s, Ollama %s, patch set %s", b.short(out), b.upstream.Version, b.patchLabel(t))
		return nil
	})
}

// compile links into a temporary file beside out and renames it, so that a running or
// half-written out is never seen.
func (b *builder) compile(out, ldflags string, env []string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.tmp-%d", out, os.Getpid())
	defer os.Remove(tmp)
	slow := time.AfterFunc(20*time.Second, func() {
		b.step.say("still compiling (the first build in this folder compiles llama.cpp: about 4 minutes on 2 cores)")
	})
	defer slow.Stop()
	if err := b.command(env, "go", "build", "-ldflags", ldflags, "-o", tmp, ollamaPath); err != nil {
		return err
	}
	return os.Rename(tmp, out)
}

// command runs a tool in our root. Its output is shown if it fails, or as it comes with -v.
func (b *builder) command(env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), env...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if b.opts.Verbose {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output.Bytes())
	}
	return nil
}

// environment is what every Go command on the tree runs with. Equal environments and
// trees make the Go build cache hit.
func (b *builder) environment() ([]string, error) {
	include := filepath.Join(b.cache, "include-"+b.headers.hash[:8])
	if err := b.headers.installOnce(include); err != nil {
		return nil, err
	}
	gomod, err := b.writeGoMod()
	if err != nil {
		return nil, err
	}
	native := "-O3 -march=native"
	if b.goEnv["GOARCH"] == "arm64" {
		native = "-O3 -mcpu=native" // Apple's clang has no -march=native there
	}
	cflags, cxxflags := envOr("CGO_CFLAGS", native), envOr("CGO_CXXFLAGS", native)
	target, err := compilerTarget(b.goEnv["CC"], cflags)
	if err != nil {
		return nil, err
	}
	// The go command keys its build cache by flags, not by what the flags' folders hold
	// or what "native" means today. Both are therefore spelt in the flags: the headers'
	// hash is in their folder's name, the compiler's target in a define nobody reads.
	cppflags := fmt.Sprintf("-I%s -DPROXY_RLHF_TARGET=0x%s", include, target)
	return []string{
		"CGO_CPPFLAGS=" + withFlags(os.Getenv("CGO_CPPFLAGS"), cppflags),
		"CGO_CFLAGS=" + cflags,
		"CGO_CXXFLAGS=" + cxxflags,
		"GOFLAGS=" + withModfile(b.goEnv["GOFLAGS"], gomod),
	}, nil
}

// withFlags puts ours before the user's flags, once: inside -exec they are there already,
// and a repetition would be other flags to the build cache, hence minutes of compiling.
func withFlags(users, ours string) string {
	if strings.Contains(users, ours) {
		return users
	}
	return strings.TrimSpace(ours + " " + users)
}

func envOr(name, otherwise string) string {
	if v, ok := os.LookupEnv(name); ok {
		return v
	}
	return otherwise
}

// compilerTarget hashes the macros that the C compiler predefines under cflags: its
// version and the CPU's abilities.
func compilerTarget(cc, cflags string) (string, error) {
	args := append(strings.Fields(cc), strings.Fields(cflags)...)
	args = append(args, "-dM", "-E", "-x", "c", os.DevNull)
	out, err := exec.Command(args[0], args[1:]...).Output()
	if err != nil {
		return "", fmt.Errorf("ask the C compiler for its target (%s): %w: install one (apt-get install g++) or set CC", strings.Join(args, " "), err)
	}
	sum := sha256.Sum256(out)
	return hex.EncodeToString(sum[:4]), nil
}

// withModfile adds -modfile to GOFLAGS, in place of one that is there.
func withModfile(goflags, gomod string) string {
	flag := "-modfile=" + gomod
	if strings.Contains(gomod, " ") {
		flag = "'" + flag + "'"
	}
	if strings.Contains(goflags, flag) {
		return goflags // we run inside -exec
	}
	var kept []string
	for _, f := range strings.Fields(goflags) {
		if !strings.HasPrefix(strings.TrimLeft(f, "'\"-"), "modfile=") {
			kept = append(kept, f)
		}
	}
	return strings.Join(append(kept, flag), " ")
}

// writeGoMod writes build/go.mod, our go.mod with Ollama replaced by the copy, and go.sum
// beside it. Our module stays the main one, so that patched packages can import it.
func (b *builder) writeGoMod() (string, error) {
	data, err := os.ReadFile(filepath.Join(b.root, "go.mod"))
	if err != nil {
		return "", err
	}
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return "", err
	}
	if err := f.AddReplace(ollamaPath, "", b.src(), ""); err != nil {
		return "", fmt.Errorf("replace %s: %w", ollamaPath, err)
	}
	if data, err = f.Format(); err != nil {
		return "", err
	}
	sum, err := os.ReadFile(filepath.Join(b.root, "go.sum"))
	if err != nil {
		return "", err
	}
	gomod := filepath.Join(b.root, "build", "go.mod")
	if err := writeFile(gomod, data); err != nil {
		return "", err
	}
	return gomod, writeFile(filepath.Join(b.root, "build", "go.sum"), sum)
}

// ldflags sets the version that Ollama reports, and in a patched one what it was patched with.
func (b *builder) ldflags(t tree) (string, error) {
	vars := []string{
		"-X " + ollamaPath + "/version.Version=" + strings.TrimPrefix(b.upstream.Version, "v"),
		"-X " + ollamaPath + "/server.mode=release", // as in Ollama's own releases
	}
	if t.name == "patched" {
		hash, err := b.patchHash()
		if err != nil {
			return "", err
		}
		vars = append(vars,
			"-X "+selfPath+"/plugin.PatchHash="+hash,
			"-X "+selfPath+"/plugin.Version="+b.version())
	}
	return strings.Join(vars, " "), nil
}

// patchHash names what was added to Ollama: the patch set and the Go sources it calls.
func (b *builder) patchHash() (string, error) {
	var dirs []string
	for _, d := range []string{"plugin", "proxy", "sampler"} {
		dirs = append(dirs, filepath.Join(b.root, d))
	}
	sources, err := hashGoFiles(b.root, dirs, true)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(b.patches.hash + sources))
	return hex.EncodeToString(sum[:6]), nil
}

func (b *builder) patchLabel(t tree) string {
	if t.name != "patched" {
		return "none"
	}
	hash, err := b.patchHash()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s (%s)", hash, b.patches)
}

// version is this checkout's name, or (devel) outside of git.
func (b *builder) version() string {
	cmd := exec.Command("git", "describe", "--tags", "--always", "--dirty")
	cmd.Dir = b.root
	out, err := cmd.Output()
	if v := strings.TrimSpace(string(out)); err == nil && v != "" {
		return v
	}
	return "(devel)"
}

// ownPackages lists the folders of our packages that the binary is made of.
func (b *builder) ownPackages(env []string) ([]string, error) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.Dir}}{{end}}{{end}}", ollamaPath)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list our packages in the binary: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// short names a file as the user would.
func (b *builder) short(file string) string {
	if rel, err := filepath.Rel(b.root, file); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return file
}
