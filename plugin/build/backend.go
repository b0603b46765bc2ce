package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"

	"github.com/gofrs/flock"
)

// backend is a GPU back end of Ollama's CMake build.
type backend struct {
	target    string // CMake's name of the library
	component string // CMake's name of what to install
	needs     string // what must be installed to build it
	// preset picks the preset of Ollama's CMakePresets.json for the toolkit installed here.
	preset func() (string, error)
}

// backends are those of -backend. The CPU's is compiled into the binary by cgo.
var backends = map[string]*backend{
	"cuda":   {target: "ggml-cuda", component: "CUDA", needs: "the CUDA toolkit", preset: cudaPreset},
	"vulkan": {target: "ggml-vulkan", component: "Vulkan", needs: "the Vulkan SDK with glslc", preset: func() (string, error) { return "Vulkan", nil }},
	"rocm":   {target: "ggml-hip", component: "HIP", needs: "ROCm with HIP", preset: rocmPreset},
}

// cpuLibraries are the shared ggml libraries that a GPU library links to, installed
// beside it as in Ollama's releases.
var cpuLibraries = backend{target: "ggml-cpu", component: "CPU", needs: "a C++ compiler", preset: func() (string, error) { return "CPU", nil }}

// buildBackend builds the GPU libraries into ../lib/ollama of out, which is where the
// binary looks for them (on macOS: beside it).
func (b *builder) buildBackend(out string) error {
	gpu := backends[b.opts.Backend]
	if gpu == nil {
		return nil
	}
	if _, err := exec.LookPath("cmake"); err != nil {
		return fmt.Errorf("-backend %s: %w: install CMake 3.21 or newer", b.opts.Backend, err)
	}
	if !filepath.IsAbs(out) {
		out = filepath.Join(b.root, out)
	}
	prefix := filepath.Dir(filepath.Dir(out))
	if runtime.GOOS == "windows" {
		prefix = filepath.Dir(out)
	}
	return b.withTree(b.patchedTree(), func() error {
		// Builds of the same tree share it, but CMake's folders are one process's at a time.
		lock := flock.New(filepath.Join(b.cache, "cmake.lock"))
		defer lock.Close()
		if err := b.acquire(lock.TryLock, lock.Lock); err != nil {
			return err
		}
		// The GPU's first: if its toolkit is missing, that shows before a minute of compiling.
		for _, lib := range []*backend{gpu, &cpuLibraries} {
			if err := b.cmake(lib, prefix); err != nil {
				return err
			}
		}
		return nil
	})
}

// cmake configures, builds and installs one library the way Ollama's Dockerfile does, but
// outside of the source tree, which is made anew when a patch changes.
func (b *builder) cmake(lib *backend, prefix string) error {
	preset, err := lib.preset()
	if err != nil {
		return err
	}
	done := b.step.start("cmake")
	dir := filepath.Join(b.cache, "cmake", preset)
	// Ollama's install rules spell the prefix out, so that it must be known by then: --prefix on installing moves nothing.
	configure := []string{"--preset", preset, "-S", b.src(), "-B", dir, "-DCMAKE_INSTALL_PREFIX=" + prefix}
	// A preset's list of GPU models takes the better part of an hour. CMake's own
	// variable for it, CUDAARCHS=native, say, is overruled by presets: hand it on.
	if archs := os.Getenv("CUDAARCHS"); archs != "" && lib.component == "CUDA" {
		configure = append(configure, "-DCMAKE_CUDA_ARCHITECTURES="+archs)
	}
	steps := [][]string{
		configure,
		{"--build", dir, "--target", lib.target, "--parallel", strconv.Itoa(runtime.NumCPU())},
		{"--install", dir, "--component", lib.component, "--strip"},
	}
	for _, args := range steps {
		if err := b.command(nil, "cmake", args...); err != nil {
			return fmt.Errorf("back end %s, which needs %s: %w", preset, lib.needs, err)
		}
	}
	into := filepath.Join(prefix, "lib", "ollama")
	if err := installed(into, lib.target); err != nil {
		return err
	}
	done("%s in %s", preset, b.short(into))
	return nil
}

// installed is an error unless a library of that name lies in dir or in a folder of it, which is where Ollama looks.
func installed(dir, name string) error {
	for _, pattern := range []string{"*" + name + "*", filepath.Join("*", "*"+name+"*")} {
		if found, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(found) > 0 {
			return err
		}
	}
	return fmt.Errorf("CMake says that it has installed %s, but there is none in %s", name, dir)
}

// cudaPreset picks the preset of the installed toolkit's major version.
func cudaPreset() (string, error) {
	nvcc, err := exec.LookPath("nvcc")
	if err != nil {
		nvcc = filepath.Join(envOr("CUDA_HOME", "/usr/local/cuda"), "bin", "nvcc")
	}
	out, err := exec.Command(nvcc, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("-backend cuda: %w: install the CUDA toolkit 11, 12 or 13, or set CUDA_HOME", err)
	}
	m := regexp.MustCompile(`release (\d+)\.`).FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("-backend cuda: %s --version names no release: %s", nvcc, out)
	}
	return "CUDA " + string(m[1]), nil
}

// rocmPreset picks the preset of the installed ROCm's major version.
func rocmPreset() (string, error) {
	file := filepath.Join(envOr("ROCM_PATH", "/opt/rocm"), ".info", "version")
	version, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("-backend rocm: %w: install ROCm 6 or 7, or set ROCM_PATH", err)
	}
	major := regexp.MustCompile(`^\d+`).Find(version)
	if major == nil {
		return "", fmt.Errorf("-backend rocm: %s holds no version: %q", file, version)
	}
	return "ROCm " + string(major), nil
}
