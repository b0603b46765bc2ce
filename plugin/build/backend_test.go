package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// libraryRules are as Ollama's CMake files, but for what is compiled: the preset installs beside the source, and the rules spell
// the prefix out.
var libraryRules = map[string]string{
	"CMakePresets.json": `{"version": 3, "configurePresets": [{"name": "CPU", "binaryDir": "${sourceDir}/build", "installDir": "${sourceDir}/dist"}]}`,
	"CMakeLists.txt": `cmake_minimum_required(VERSION 3.21)
project(Libraries NONE)
add_custom_target(ggml-cpu COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_BINARY_DIR}/libggml-cpu-x64.so)
install(FILES ${CMAKE_BINARY_DIR}/libggml-cpu-x64.so DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/ollama COMPONENT CPU)
`,
}

// The libraries lie where the binary looks for them, also when it is built elsewhere the next time.
func TestBackendIsInstalledBesideTheBinary(t *testing.T) {
	if _, err := exec.LookPath("cmake"); err != nil {
		t.Skip("CMake is not installed, which only GPU builds need")
	}
	b := testBuilder(t, module{}, patchSet{})
	b.root = t.TempDir()
	write(t, b.src(), libraryRules)
	for _, prefix := range []string{t.TempDir(), t.TempDir()} {
		if err := b.cmake(&cpuLibraries, prefix); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(prefix, "lib", "ollama", "libggml-cpu-x64.so")); err != nil {
			t.Error(err)
		}
	}
	write(t, b.src(), map[string]string{"CMakeLists.txt": strings.Replace(libraryRules["CMakeLists.txt"], "COMPONENT CPU", "COMPONENT CUDA", 1)})
	if err := b.cmake(&cpuLibraries, t.TempDir()); err == nil || !strings.Contains(err.Error(), "there is none in") {
		t.Errorf("nothing was installed: %v", err)
	}
}
