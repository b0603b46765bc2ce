package run

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string, resolved []byte) *Folder {
	t.Helper()
	f, err := Open(dir, resolved)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// files lists the folder's files but for the lock.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != lockFile {
			name, relErr := filepath.Rel(dir, path)
			names, err = append(names, name), relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

func TestOpenWritesTheConfigurationAndComesBackToIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "runs", "demo")
	f, err := Open(dir, []byte("seed: 1\nname: demo\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, f.Path(ConfigFile)); got != "seed: 1\nname: demo\n" {
		t.Errorf("config.yaml is %q", got)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, same := range [][]byte{[]byte("seed: 1\nname: demo\n"), nil} {
		again, err := Open(dir, same)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}

	_, err = Open(dir, []byte("seed: 1\nname: other\n"))
	var other *OtherRunError
	if !errors.As(err, &other) {
		t.Fatalf("another configuration: %v, want an OtherRunError", err)
	}
	if diff := cmp.Diff(&OtherRunError{Dir: dir, Line: 2, Have: "name: demo", Want: "name: other"}, other); diff != "" {
		t.Error(diff)
	}
	open(t, dir, nil) // and it is not left locked
}

func TestARunMayMove(t *testing.T) {
	dir := t.TempDir()
	const before = "seed: 1\nollama:\n  host: a\nname: demo\nrun: x\n"
	for _, c := range []struct {
		config string
		line   int // of the difference that is refused
	}{
		{before, 0},
		{"seed: 1\nollama:\n  host: b\nname: demo\nrun: y\n", 0},
		{"seed: 1\nollama:\n  host: b\nname: other\nrun: y\n", 4},
		{"seed: 1\nollama:\n  host: b\nname: demo\nrun: y\nmore: 1\n", 6},
		{before, 0},
	} {
		f, err := Open(dir, []byte(c.config), "ollama", "run")
		var other *OtherRunError
		if errors.As(err, &other); (c.line == 0) != (err == nil) || err != nil && (other == nil || other.Line != c.line) {
			t.Fatalf("%q: %v", c.config, err)
		}
		if err != nil {
			continue
		}
		if got := read(t, f.Path(ConfigFile)); got != c.config {
			t.Errorf("config.yaml is %q, want %q", got, c.config)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenRefusesASecondOpener(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("second opener in this process: %v, want ErrInUse", err)
	}
	if out, err := openElsewhere(dir); err == nil || !strings.Contains(out, ErrInUse.Error()) {
		t.Errorf("second opener in another process: %v, %q, want ErrInUse", err, out)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := openElsewhere(dir); err != nil {
		t.Errorf("after Close: %v, %q", err, out)
	}
}

// elsewhere names the folder that this test binary is to open and leave.
const elsewhere = "RUN_TEST_OPEN"

func openElsewhere(dir string) (string, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), elsewhere+"="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(elsewhere); dir != "" {
		if _, err := Open(dir, nil); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(3)
		}
		os.Exit(0) // without Close: the lock must not outlive a killed process
	}
	os.Exit(m.Run())
}

func TestOpenCutsTornLines(t *testing.T) {
	long := strings.Repeat("x", 100<<10) // more than one block of the search
	for _, c := range []struct{ name, have, want string }{
		{"whole", "{\"a\":1}\n{\"a\":2}\n", "{\"a\":1}\n{\"a\":2}\n"},
		{"torn", "{\"a\":1}\n{\"a\":", "{\"a\":1}\n"},
		{"torn without its line end only", "{\"a\":1}\n{\"a\":2}", "{\"a\":1}\n"},
		{"torn long line", "{\"a\":1}\n" + long, "{\"a\":1}\n"},
		{"torn after a long line", long + "\n{", long + "\n"},
		{"only a torn line", "{", ""},
		{"only a long torn line", long + long, ""},
		{"zeros of a power cut", "{\"a\":1}\n\x00\x00\x00", "{\"a\":1}\n"},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "eval"), 0o755); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"metrics.jsonl", "eval/samples.jsonl"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(c.have), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			f := open(t, dir, nil)
			for _, name := range []string{"metrics.jsonl", "eval/samples.jsonl"} {
				if got := read(t, f.Path(name)); got != c.want {
					t.Errorf("%s is %.60q, want %.60q", name, got, c.want)
				}
			}
		})
	}
}

func TestOpenRemovesLeftOversOnly(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".last.ckpt.tmp-123", "a.tmp-1", ".hidden", "text.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir, nil)
	if diff := cmp.Diff([]string{".hidden", "a.tmp-1", "text.txt"}, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestWriteFileReplaces(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	for _, text := range []string{"a longer first text", "second", ""} {
		if err := f.WriteFile("checkpoints/note.txt", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := read(t, f.Path("checkpoints/note.txt")); got != text {
			t.Errorf("the file is %q, want %q", got, text)
		}
	}
	info, err := os.Stat(f.Path("checkpoints/note.txt"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v; want -rw-r--r--", info.Mode(), err)
	}
	if diff := cmp.Diff([]string{"checkpoints/note.txt"}, files(t, f.Dir())); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestNamesStayInside(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	for _, name := range []string{"", ".", "..", "../x", "/etc/x", "a/../../x", ".lock", "./.lock"} {
		want := "is no name for a file in " + f.Dir()
		wantError(t, f.WriteFile(name, nil), want)
		wantError(t, f.AppendJSON(name, 1), want)
		wantError(t, f.SaveCheckpoint(name, 1), want)
		wantError(t, f.LoadCheckpoint(name, new(int)), want)
	}
}

func TestErrorsNamePathAndLeaveNothing(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	if err := os.Mkdir(f.Path("taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantError(t, f.WriteFile("taken", []byte("x")), "run: write "+f.Path("taken"))
	wantError(t, f.AppendJSON("taken", 1), "run: append to "+f.Path("taken"))
	wantError(t, f.AppendJSON("x.jsonl", func() {}), "run: append to "+f.Path("x.jsonl"), "unsupported type")
	wantError(t, f.SaveCheckpoint("x.ckpt", func() {}), "run: write "+f.Path("x.ckpt"))
	if got := files(t, f.Dir()); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestAppendJSONFromManyGoroutines(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	type sample struct {
		Reply string `json:"reply"`
		N     int    `json:"n"`
	}
	text := "<b>two\nlines</b> " + strings.Repeat("long ", 5000)
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Go(func() {
			if err := f.AppendJSON("samples.jsonl", sample{text, n}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := ReadJSON[sample](f.Path("samples.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, s := range got {
		if s.Reply != text {
			t.Fatalf("sample %d came back changed", s.N)
		}
		seen[s.N] = true
	}
	if len(got) != 40 || len(seen) != 40 {
		t.Errorf("%d lines, %d different ones; want 40", len(got), len(seen))
	}
	if raw := read(t, f.Path("samples.jsonl")); !strings.Contains(raw, "<b>") {
		t.Error("replies are HTML-escaped")
	}
}

func TestMetrics(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	at := time.UnixMilli(1_700_000_000_123)
	want := []Record{
		{Step: 64, Time: at, Metrics: Metrics{"objective/reward": -.1, "proxy/rejections": 0}},
		{Step: 128, Time: at.Add(time.Hour), Metrics: Metrics{"losses/policy_loss": 1e-300}},
	}
	for _, r := range want {
		if err := f.AppendMetrics(r.Step, r.Time, r.Metrics); err != nil {
			t.Fatal(err)
		}
	}
	first, _, _ := strings.Cut(read(t, f.Path(MetricsFile)), "\n")
	if want := `{"objective/reward":-0.1,"proxy/rejections":0,"step":64,"wall_time":1700000000.123}`; first != want {
		t.Errorf("the first line is\n%s, want\n%s", first, want)
	}

	for name, bad := range map[string]Metrics{
		`metric "losses/a" is NaN`:    {"losses/a": math.NaN(), "fine": 1},
		`metric "losses/b" is +Inf`:   {"losses/b": math.Inf(1), "losses/c": math.NaN()},
		`metric "step"`:               {"step": 1},
		`run: step 192: metric "wall`: {"wall_time": 1},
	} {
		wantError(t, f.AppendMetrics(192, at, bad), name)
	}
	got, err := ReadMetrics(f.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-written +read):\n%s", diff)
	}
}

func TestReadJSON(t *testing.T) {
	dir := t.TempDir()
	if got, err := ReadMetrics(dir); got != nil || err != nil {
		t.Errorf("without a file: %v, %v; want none", got, err)
	}
	path := filepath.Join(dir, MetricsFile)
	for _, c := range []struct{ have, want string }{
		{"{\"step\":1,\"wall_time\":2}\n{\"step\":", ""}, // being written
		{"{\"step\":1,\"wall_time\":2}\n[]\n", path + ":2: "},
		{"{\"step\":1}\n", path + `:1: no "wall_time"`},
	} {
		if err := os.WriteFile(path, []byte(c.have), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := ReadMetrics(dir)
		if c.want != "" {
			wantError(t, err, c.want)
		} else if err != nil || len(got) != 1 {
			t.Errorf("%q: %d records, %v; want 1", c.have, len(got), err)
		}
	}
}

// state is like a trainer's: nested, with slices and a map.
type state struct {
	Step    int64
	Weights [][]float32
	Adam    map[string][]float64
}

func someState() state {
	return state{
		Step:    384,
		Weights: [][]float32{make([]float32, 300_000), {1, -2.5}},
		Adam:    map[string][]float64{"0.weight": {1e-8, math.Pi}},
	}
}

func TestCheckpoint(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	if err := f.SaveCheckpoint("checkpoints/last", someState()); err != nil {
		t.Fatal(err)
	}
	var got state
	if err := f.LoadCheckpoint("checkpoints/last", &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(someState(), got); diff != "" {
		t.Errorf("state (-saved +loaded):\n%s", diff)
	}
	if err := f.LoadCheckpoint("checkpoints/none", &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a checkpoint that is not there: %v, want fs.ErrNotExist", err)
	}
	var other struct{ Step string }
	wantError(t, f.LoadCheckpoint("checkpoints/last", &other), f.Path("checkpoints/last"), "another version")
}

func TestDamagedCheckpoint(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	if err := f.SaveCheckpoint("last", state{Step: 3}); err != nil {
		t.Fatal(err)
	}
	whole := []byte(read(t, f.Path("last")))
	refused := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(f.Path("last"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		got := state{Step: -1}
		if err := f.LoadCheckpoint("last", &got); !errors.Is(err, ErrDamaged) || got.Step != -1 {
			t.Errorf("%s: %v, step %d; want ErrDamaged and nothing read", name, err, got.Step)
		}
	}
	refused("longer", append(bytes.Clone(whole), 0))
	refused("of zeros", make([]byte, len(whole)))
	for n := range whole {
		flipped := bytes.Clone(whole)
		flipped[n] ^= 0x10
		refused(fmt.Sprintf("flipped at %d of %d", n, len(whole)), flipped)
		refused(fmt.Sprintf("cut at %d of %d", n, len(whole)), whole[:n])
	}
}

// fullDisk has room for so many bytes more, and a Sync that fails where told.
type fullDisk struct {
	osDisk
	room     *int
	failSync bool
}

type fullFile struct {
	file
	fullDisk
}

func (d fullDisk) temp(dir, pattern string) (file, error) {
	f, err := d.osDisk.temp(dir, pattern)
	return fullFile{f, d}, err
}

func (d fullDisk) end(path string) (file, int64, error) {
	f, size, err := d.osDisk.end(path)
	return fullFile{f, d}, size, err
}

func (f fullFile) Write(p []byte) (int, error) {
	n := min(len(p), *f.room)
	*f.room -= n
	if written, err := f.file.Write(p[:n]); err != nil || n == len(p) {
		return written, err
	}
	return n, &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
}

func (f fullFile) Sync() error {
	if f.failSync {
		return &fs.PathError{Op: "sync", Path: f.Name(), Err: syscall.EDQUOT}
	}
	return f.file.Sync()
}

// On a full disk every file stays what it was, no temporary file takes more
// room, and the error says so. It is tried with room for each number of bytes.
func TestFullDisk(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	old := state{Step: 1}
	if err := f.WriteFile("note", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := f.AppendJSON("x.jsonl", "old"); err != nil {
		t.Fatal(err)
	}
	if err := f.SaveCheckpoint("last", old); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func() error{
		"WriteFile":      func() error { return f.WriteFile("note", []byte("a new text")) },
		"AppendJSON":     func() error { return f.AppendJSON("x.jsonl", "a new line") },
		"SaveCheckpoint": func() error { return f.SaveCheckpoint("last", state{Step: 2}) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, room := range []int{0, 1, 5, 9} {
				f.disk = fullDisk{room: &room}
				err := write()
				wantError(t, err, "run: ", "no space left in "+f.Dir()+": ")
				if !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("the cause is lost: %v", err)
				}
				wantUntouched(t, f, old)
			}
		})
	}
	t.Run("quota found on Sync", func(t *testing.T) {
		room := 1 << 20
		f.disk = fullDisk{room: &room, failSync: true}
		wantError(t, f.WriteFile("note", []byte("new")), "no space left in "+f.Dir())
		wantUntouched(t, f, old)
	})
	t.Run("goes on when there is room", func(t *testing.T) {
		f.disk = osDisk{}
		if err := f.AppendJSON("x.jsonl", "new"); err != nil {
			t.Fatal(err)
		}
		if got := read(t, f.Path("x.jsonl")); got != "\"old\"\n\"new\"\n" {
			t.Errorf("the lines are %q", got)
		}
	})
}

func wantUntouched(t *testing.T, f *Folder, old state) {
	t.Helper()
	if got := read(t, f.Path("note")); got != "old" {
		t.Errorf("note is %q, want the old one", got)
	}
	if got := read(t, f.Path("x.jsonl")); got != "\"old\"\n" {
		t.Errorf("x.jsonl is %q, want the old line", got)
	}
	var loaded state
	if err := f.LoadCheckpoint("last", &loaded); err != nil || !cmp.Equal(loaded, old) {
		t.Errorf("the checkpoint is %v, %v; want the old one", loaded, err)
	}
	if diff := cmp.Diff([]string{"last", "note", "x.jsonl"}, files(t, f.Dir())); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
