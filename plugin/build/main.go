package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// options is what the command line says. Start from defaultOptions.
type options struct {
	// Backend is the compute back end beside the CPU one that the binary always
	// carries: cpu (nothing more), cuda, vulkan or rocm.
	Backend string
	// Out is the patched binary, relative to the module's root. Empty: don't build it.
	Out string
	// Stock is the same Ollama without our patches. Empty: don't build it.
	Stock string
	// Cache is the folder that holds the copies of Ollama's source.
	// Empty: <user's cache folder>/proxy-rlhf.
	Cache string
	// Verbose shows the output of the compilers as it comes.
	Verbose bool
	// Exec runs the arguments as a command against the patched tree instead of building.
	Exec bool
	// TestUpstream runs Ollama's own tests of the patched packages instead of building.
	TestUpstream bool
	// Args is the command of Exec, or more arguments to go test for TestUpstream.
	Args []string
}

// defaultOptions builds the CPU binary where the Makefile wants it.
func defaultOptions() options {
	return options{Backend: "cpu", Out: "bin/ollama"}
}

// Validate names the flag that makes no sense.
func (o options) Validate() error {
	switch {
	case o.Backend != "cpu" && backends[o.Backend] == nil:
		return fmt.Errorf("-backend %q: must be cpu, cuda, vulkan or rocm", o.Backend)
	case o.Exec && o.TestUpstream:
		return errors.New("-exec and -test-upstream exclude each other")
	case o.Exec && len(o.Args) == 0:
		return errors.New("-exec: no command follows; give one, as in `-exec -- go test ./integration/`")
	case !o.Exec && !o.TestUpstream && len(o.Args) > 0:
		return fmt.Errorf("unexpected argument %q: only -exec and -test-upstream take arguments", o.Args[0])
	case !o.Exec && !o.TestUpstream && o.Out == "" && o.Stock == "":
		return errors.New("-o and -stock are both empty: nothing to build")
	case o.Out != "" && filepath.Clean(o.Out) == filepath.Clean(o.Stock):
		return fmt.Errorf("-o and -stock are the same file %q: they must differ", o.Out)
	}
	return nil
}

func parseFlags(args []string, usage io.Writer) (options, error) {
	o := defaultOptions()
	fs := flag.NewFlagSet("build", flag.ContinueOnError)
	fs.SetOutput(usage)
	fs.Usage = func() {
		fmt.Fprint(usage, "Builds the patched Ollama.\n\n"+
			"  go run ./plugin/build [-backend cpu|cuda|vulkan|rocm] [-o FILE] [-stock FILE] [-cache DIR] [-v]\n"+
			"  go run ./plugin/build -exec -- COMMAND...      run a command against the patched tree\n"+
			"  go run ./plugin/build -test-upstream [-- ARGS]  run Ollama's tests of what we patch\n\n")
		fs.PrintDefaults()
	}
	fs.StringVar(&o.Backend, "backend", o.Backend, "back end to build beside the CPU's: cpu (none), cuda, vulkan, rocm")
	fs.StringVar(&o.Out, "o", o.Out, "patched `file` to write; empty: don't")
	fs.StringVar(&o.Stock, "stock", o.Stock, "also build the unpatched Ollama into this `file`")
	fs.StringVar(&o.Cache, "cache", o.Cache, "`folder` for the copies of Ollama's source (default: proxy-rlhf in the user's cache folder)")
	fs.BoolVar(&o.Verbose, "v", o.Verbose, "show the compilers' output as it comes")
	fs.BoolVar(&o.Exec, "exec", o.Exec, "run the command that follows -- in the module's root, with Go pointed at the patched tree")
	fs.BoolVar(&o.TestUpstream, "test-upstream", o.TestUpstream, "run Ollama's own tests of the packages that our patches touch")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.Args = fs.Args()
	return o, o.Validate()
}

func main() {
	o, err := parseFlags(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(o)
	}
	// A command we ran for the user has told its own story: hand on its status only.
	if exit := (*exec.ExitError)(nil); o.Exec && errors.As(err, &exit) {
		os.Exit(max(exit.ExitCode(), 1))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin/build:", err)
		os.Exit(1)
	}
}

// run does what o asks, step by step; each step prints one line when it is done.
func run(o options) error {
	b, err := newBuilder(o)
	if err != nil {
		return err
	}
	switch {
	case o.Exec:
		return b.withTree(b.patchedTree(), func() error { return b.exec(o.Args) })
	case o.TestUpstream:
		return b.withTree(b.patchedTree(), func() error { return b.testUpstream(o.Args) })
	}
	// The stock twin first: both are built in one folder, so cgo is compiled once for
	// both, and the tree is left patched for whoever looks into it afterwards.
	if o.Stock != "" {
		if err := b.build(b.stockTree(), o.Stock); err != nil {
			return err
		}
	}
	if o.Out == "" {
		return nil
	}
	if err := b.build(b.patchedTree(), o.Out); err != nil {
		return err
	}
	return b.buildBackend(o.Out)
}

// builder holds what every step needs. It is made once a run and used by one goroutine.
type builder struct {
	opts     options
	root     string // our module's root
	goEnv    map[string]string
	upstream module // Ollama, verified when its tree is copied
	cache    string // <cache>/ollama-<version>-<short h1>
	patches  patchSet
	headers  headers
	step     stepper
}

func newBuilder(o options) (*builder, error) {
	b := &builder{opts: o, step: stepper{w: os.Stderr}}
	var err error
	if b.goEnv, err = readGoEnv(); err != nil {
		return nil, err
	}
	if b.root, err = moduleRoot(b.goEnv["GOMOD"]); err != nil {
		return nil, err
	}
	done := b.step.start("module")
	if b.upstream, err = findModule(b.root, ollamaPath); err != nil {
		return nil, err
	}
	if b.cache, err = cacheFolder(o.Cache, b.upstream); err != nil {
		return nil, err
	}
	done("%s@%s in %s", b.upstream.Path, b.upstream.Version, b.cache)

	if b.patches, err = readPatches(filepath.Join(b.root, "plugin", "patches")); err != nil {
		return nil, err
	}
	malgo, err := findModule(b.root, malgoPath)
	if err != nil {
		return nil, err
	}
	done = b.step.start("headers")
	if b.headers, err = findHeaders(malgo); err != nil {
		return nil, err
	}
	done("%d files of nlohmann-json, stb and miniaudio, %.8s", len(b.headers.files), b.headers.hash)
	return b, nil
}

// moduleRoot turns `go env GOMOD` into our module's root, and refuses to work on another module.
func moduleRoot(gomod string) (string, error) {
	const hint = "run this inside a checkout of proxy-rlhf"
	if gomod == "" || gomod == os.DevNull {
		return "", errors.New("no go.mod here: " + hint)
	}
	data, err := os.ReadFile(gomod)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(data), "\n")
	if strings.TrimSpace(first) != "module "+selfPath {
		return "", fmt.Errorf("%s is not module %s: %s", gomod, selfPath, hint)
	}
	return filepath.Dir(gomod), nil
}
