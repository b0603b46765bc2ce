//go:build patched

package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// onSmallDisk is a command that runs another with dir as a file system of its own of that size, and copies what is left in it to
// kept. The file system ends with the command.
func onSmallDisk(t *testing.T, dir, size, kept string, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	unshare, err := exec.LookPath("unshare")
	if err == nil {
		err = exec.Command(unshare, "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", dir).Run()
	}
	if err != nil {
		t.Skipf("a full disk needs Linux and the right to mount a file system in a namespace of one's own: %v", err)
	}
	const script = `mount -t tmpfs -o size="$2" tmpfs "$1" || exit 99; dir=$1; kept=$3; shift 3; "$@"; code=$?; cp -r "$dir/." "$kept"; exit $code`
	args := append([]string{"--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", dir, size, kept}, cmd.Args...)
	small := exec.Command(unshare, args...)
	small.Env = cmd.Env
	return small
}

// A disk that fills up in mid-run ends the run with an error that says so and how to go on; the last whole checkpoint is still
// there, and the run goes on from it.
func TestDiskFull(t *testing.T) {
	dir, kept := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	for _, d := range []string{dir, kept} {
		check(t, os.Mkdir(d, 0o755))
	}
	// Room for one checkpoint and not for the next one beside it.
	out, err := onSmallDisk(t, dir, "700k", kept, trainer(small(dir)...)).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "no space left in "+dir) {
		t.Fatalf("%v\n%s", err, out)
	}
	entries, err := os.ReadDir(kept)
	check(t, err)
	for _, e := range entries {
		if strings.Contains(e.Name(), "tmp") {
			t.Errorf("left half-written: %s", e.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(kept, "last.ckpt")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := trainer(small(kept)...).CombinedOutput(); err != nil {
		t.Fatalf("going on with room: %v\n%s", err, out)
	}
	if _, err := proxy.Open(filepath.Join(kept, "proxy.gguf")); err != nil {
		t.Error(err)
	}
}
