//go:build patched

package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a running program as Linux's /proc shows it.
type process int

func needsProc(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skipf("what a process holds is read from Linux's /proc: %v", err)
	}
}

func (p process) file(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p, name))
	check(t, err)
	return string(data)
}

// field is a number of one of the process's files of lines "name: value".
func (p process) field(t testing.TB, file, name string) int64 {
	t.Helper()
	for line := range strings.Lines(p.file(t, file)) {
		if key, value, _ := strings.Cut(line, ":"); key == name {
			n, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			check(t, err)
			return n
		}
	}
	t.Fatalf("no %s in /proc/%d/%s", name, p, file)
	return 0
}

// footprint is what a process holds.
type footprint struct {
	RSS     int64 // KiB
	Threads int64
	Files   int
}

func (p process) footprint(t testing.TB) footprint {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p))
	check(t, err)
	return footprint{RSS: p.field(t, "status", "VmRSS"), Threads: p.field(t, "status", "Threads"), Files: len(files)}
}

// runner is the server's one process that has a model.
func (s *server) runner(t testing.TB) process {
	t.Helper()
	var found []process
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	check(t, err)
	for _, path := range all {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent …, where a name may hold anything
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if state, parent := fields[0], fields[1]; state != "Z" && parent == strconv.Itoa(s.cmd.Process.Pid) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			check(t, err)
			found = append(found, process(pid))
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s has the processes %v, want one with a model\n%s", s.name, found, tail(s.log))
	}
	return found[0]
}

// ticks is the processor time that the process has taken, in clock ticks.
func (p process) ticks(t testing.TB) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
	check(t, err)
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	check(t, err)
	system, err := strconv.Atoi(fields[12])
	check(t, err)
	return user + system
}

// goroutines ends a Go program with the signal that makes it print its goroutines to the log, and counts them.
func (p process) goroutines(t testing.TB, log string) int {
	t.Helper()
	start, err := os.ReadFile(log)
	check(t, err)
	check(t, syscall.Kill(int(p), syscall.SIGQUIT))
	// The server copies what the runner prints: wait until that has come to an end.
	var dump string
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		_, running := os.Stat(fmt.Sprintf("/proc/%d", p))
		data, err := os.ReadFile(log)
		check(t, err)
		if last := dump; running != nil && len(data) > len(start) && string(data[len(start):]) == last {
			return strings.Count(dump, "\ngoroutine ")
		}
		dump = string(data[len(start):])
		if time.Now().After(deadline) {
			t.Fatalf("no stacks after SIGQUIT:\n%s", tail(log))
		}
	}
}
