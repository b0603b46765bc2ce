package reward

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The test binary is the program that is asked, too: its second argument says
// how it behaves.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "scorer" {
		os.Exit(scorers[os.Args[2]](os.Args[3:]))
	}
	os.Exit(m.Run())
}

// scorer is the command that behaves in the named way.
func scorer(t *testing.T, behaviour string, args ...string) Reward {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := build(t, Spec{Type: TypeCommand, Command: append([]string{self, "scorer", behaviour}, args...), Timeout: 20 * time.Second})
	t.Cleanup(func() { r.(io.Closer).Close() })
	return r
}

type question struct {
	Query, Prompt, Reply string
	Label                json.RawMessage
}

// answering reads questions to the end, and answers each with what answer says.
func answering(answer func(question) string) func([]string) int {
	return func([]string) int {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			var q question
			if err := json.Unmarshal(in.Bytes(), &q); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 9
			}
			fmt.Println(answer(q))
		}
		return 0
	}
}

var scorers = map[string]func(args []string) int{
	"length": answering(func(q question) string { return fmt.Sprintf(`{"reward": %d, "more": "ignored"}`, len(q.Query)) }),
	"echo": answering(func(q question) string {
		text, _ := json.Marshal(fmt.Sprintf("%s|%s|%s|%s", q.Query, q.Prompt, q.Reply, q.Label))
		return fmt.Sprintf(`{"error": %s}`, text)
	}),
	"picky": answering(func(q question) string {
		if strings.Contains(q.Reply, "x") {
			return `{"error": "I do not like x", "reward": 0}`
		}
		return fmt.Sprintf(`{"reward": %d}`, len(q.Reply))
	}),
	"says": func(args []string) int { return answering(func(question) string { return args[0] })(nil) },
	"dies": func([]string) int {
		bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Println(`{"reward": 1}`)
		fmt.Fprint(os.Stderr, "one\ntwo\nthree\nfour\nTraceback:\n  out of memory\n")
		return 3
	},
	"ends at once": func([]string) int { return 0 },
	// silent says in a file how it ended, and nothing else.
	"silent": func(args []string) int {
		io.Copy(io.Discard, os.Stdin)
		os.WriteFile(args[0], []byte("tidy"), 0o644)
		return 0
	},
	"deaf": func([]string) int { time.Sleep(time.Hour); return 0 },
	"closes stdout": func([]string) int {
		os.Stdout.Close()
		io.Copy(io.Discard, os.Stdin)
		return 0
	},
	// daemon leaves a child in a session of its own, with its stdout.
	"daemon": func([]string) int {
		child := exec.Command(os.Args[0], "scorer", "naps")
		child.Stdout = os.Stdout
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return 9
		}
		return 0
	},
	"naps": func([]string) int { time.Sleep(30 * time.Second); return 0 },
	"stubborn": func([]string) int {
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Hour)
		return 0
	},
	"twice": answering(func(question) string { return "{\"reward\": 1}\n{\"reward\": 2}" }),
	"long":  answering(func(question) string { return strings.Repeat(" ", 2<<20) }),
	// tidy says in a file how it ended.
	"tidy": func(args []string) int {
		defer os.WriteFile(args[0], []byte("tidy"), 0o644)
		return answering(func(question) string { return `{"reward": 1}` })(nil)
	},
}

func TestCommand(t *testing.T) {
	r := scorer(t, "length")
	for range 3 { // the same process
		out, err := r.Score(t.Context(), []Sample{{Prompt: "ab", Reply: "c"}, {}, {Reply: "<größe>\n"}})
		if diff := cmp.Diff([]float64{3, 0, 10}, out); diff != "" || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
	}
	if out, err := r.Score(t.Context(), nil); err != nil || len(out) != 0 {
		t.Errorf("no samples: %v, %v", out, err)
	}
	if out, err := r.Score(t.Context(), []Sample{{}, {Label: json.RawMessage("{")}}); out != nil || err == nil || !strings.Contains(err.Error(), "sample 2 of 2: its label is not JSON") {
		t.Errorf("bad label: %v, %v", out, err)
	}
}

// More than any pipe holds goes both ways.
func TestCommandLargeBatch(t *testing.T) {
	samples := make([]Sample, 3000)
	for i := range samples {
		samples[i].Reply = strings.Repeat("r", 200+i%7)
	}
	out, err := scorer(t, "length").Score(t.Context(), samples)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range out {
		if x != float64(200+i%7) {
			t.Fatalf("sample %d: %v", i, x)
		}
	}
}

func TestCommandSeesTheSample(t *testing.T) {
	_, err := Judge(t.Context(), scorer(t, "echo"), []Sample{{Prompt: "p", Reply: "r", Label: json.RawMessage(`{"a":1}`)}, {}}, 0)
	if err == nil || !strings.Contains(err.Error(), `the command cannot judge it: "pr|p|r|{\"a\":1}"`) {
		t.Error(err)
	}
}

func TestCommandFailsOnSome(t *testing.T) {
	r := scorer(t, "picky")
	for range 2 {
		j, err := Judge(t.Context(), r, repliesOf("abc", "x", "ab", "axa"), .5)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]float64{3, 2}, j.Scores); diff != "" || len(j.Failures) != 2 {
			t.Errorf("%+v", j)
		}
	}
}

func TestCommandIsForSeveral(t *testing.T) {
	r := scorer(t, "length")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for range 20 {
				if out, err := r.Score(t.Context(), []Sample{{Reply: strings.Repeat("a", n)}}); err != nil || out[0] != float64(n) {
					t.Errorf("%d: %v, %v", n, out, err)
				}
			}
		})
	}
	wg.Wait()
}

// What goes wrong is an error for all, is not forgotten, and quotes the program.
func TestCommandErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"dies":          {nil, []string{"answer 2 of 3: it ended by itself (exit status 3)", `its stderr ends "two\nthree\nfour\nTraceback:\n  out of memory"`}},
		"ends at once":  {nil, []string{"it ended by itself (exit status 0)"}},
		"long":          {nil, []string{"a line of more than 1048576 bytes"}},
		"closes stdout": {nil, []string{"answer 1 of 3: it closed its stdout"}},
		"says":          {[]string{"loading…"}, []string{"answer 1 of 3: it is not a JSON object", `"loading…"`, "anything else on stderr"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := scorer(t, name, tc.args...)
			out, err := r.Score(t.Context(), make([]Sample, 3))
			if out != nil || err == nil {
				t.Fatalf("%v, %v", out, err)
			}
			for _, want := range append(tc.want, "command reward: ", "scorer "+name) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			if _, again := r.Score(t.Context(), make([]Sample, 1)); again == nil || again.Error() != err.Error() {
				t.Errorf("asked again: %v", again)
			}
		})
	}
	_, err := build(t, Spec{Type: TypeCommand, Command: []string{"/nowhere/scorer"}}).Score(t.Context(), make([]Sample, 1))
	if err == nil || !strings.Contains(err.Error(), "start /nowhere/scorer: ") {
		t.Errorf("no program: %v", err)
	}
}

// An answer too many would be taken for that to the next question.
func TestCommandAnswersTwice(t *testing.T) {
	r := scorer(t, "twice")
	if out, err := r.Score(t.Context(), make([]Sample, 1)); err != nil || out[0] != 1 {
		t.Fatalf("%v, %v", out, err)
	}
	time.Sleep(100 * time.Millisecond) // the second line is on its way
	if out, err := r.Score(t.Context(), make([]Sample, 1)); out != nil || err == nil || !strings.Contains(err.Error(), `wrote "{\"reward\": 2}" unasked`) {
		t.Errorf("%v, %v", out, err)
	}
}

func TestCommandTimesOut(t *testing.T) {
	for _, behaviour := range []string{"silent", "deaf", "daemon"} {
		t.Run(behaviour, func(t *testing.T) {
			t.Parallel()
			r := scorer(t, behaviour, filepath.Join(t.TempDir(), "end"))
			inner(t, r).timeout = 100 * time.Millisecond
			out, err := r.Score(t.Context(), make([]Sample, 2))
			if out != nil || err == nil || !strings.Contains(err.Error(), "answer 1 of 2: no answer within 100ms; raise timeout") {
				t.Errorf("%v, %v", out, err)
			}
			if state := inner(t, r).process.cmd.ProcessState; state == nil {
				t.Error("the program still runs")
			}
		})
	}
}

// inner is the command within what New builds.
func inner(t *testing.T, r Reward) *command {
	t.Helper()
	return r.(sum)[0].reward.(*command)
}

// A caller that gives up ends the program, which may put its things in order.
func TestCommandCallerGivesUp(t *testing.T) {
	cause := errors.New("run stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	file := filepath.Join(t.TempDir(), "end")
	r := scorer(t, "silent", file)
	time.AfterFunc(200*time.Millisecond, func() { cancel(cause) })
	if out, err := r.Score(ctx, make([]Sample, 1)); out != nil || !errors.Is(err, cause) {
		t.Errorf("%v, %v", out, err)
	}
	wantTidy(t, file)
	if _, err := r.Score(t.Context(), make([]Sample, 1)); !errors.Is(err, cause) {
		t.Errorf("asked again: %v", err)
	}
}

func TestCommandClose(t *testing.T) {
	file := filepath.Join(t.TempDir(), "end")
	r := scorer(t, "tidy", file)
	if out, err := r.Score(t.Context(), make([]Sample, 1)); err != nil {
		t.Fatal(out, err)
	}
	for range 2 {
		if err := r.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	}
	wantTidy(t, file)
	if _, err := r.Score(t.Context(), make([]Sample, 1)); err == nil || !strings.Contains(err.Error(), "has been closed") {
		t.Errorf("after Close: %v", err)
	}
	if err := scorer(t, "tidy", file).(io.Closer).Close(); err != nil { // never started
		t.Error(err)
	}
}

func wantTidy(t *testing.T, file string) {
	t.Helper()
	if data, err := os.ReadFile(file); err != nil || string(data) != "tidy" {
		t.Errorf("the program did not end by itself: %v", err)
	}
}

// A program that will not end is made to.
func TestCommandIsKilled(t *testing.T) {
	t.Parallel()
	r := scorer(t, "stubborn")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := r.Score(ctx, make([]Sample, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if state := inner(t, r).process.cmd.ProcessState; state == nil || state.String() != "signal: killed" {
		t.Errorf("the program's end: %v", state)
	}
}

func TestTail(t *testing.T) {
	var tl tail
	for range 3 {
		fmt.Fprintf(&tl, "%s\n", strings.Repeat("x", keptStderr))
		fmt.Fprint(&tl, "a\n\nb\n")
	}
	if got := string(tl.lastLines(2)); got != "\nb" {
		t.Errorf("last lines %q", got)
	}
	if len(tl.kept) != keptStderr {
		t.Errorf("%d bytes are kept", len(tl.kept))
	}
	if got := new(tail).lastLines(5); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}

func TestDecodeAnswer(t *testing.T) {
	for line, want := range map[string]struct {
		score         float64
		failure, fail bool
	}{
		`{"reward":-2.5}`:           {-2.5, false, false},
		`{"reward":1,"error":null}`: {1, false, false},
		`{"error":"why"}`:           {0, true, false},
		`{"error":""}`:              {0, true, false},
		`{"error":{"code":1}}`:      {0, true, false},
		`{"reward":null}`:           {0, false, true},
		`{"reward":"1"}`:            {0, false, true},
		`{"reward":NaN}`:            {0, false, true},
		`{"reward":1e999}`:          {0, false, true},
		`{"Reward":1}`:              {0, false, true},
		`1`:                         {0, false, true},
		``:                          {0, false, true},
		`{"reward":1}{"reward":2}`:  {0, false, true},
	} {
		score, failure, err := decodeAnswer([]byte(line))
		if score != want.score || (failure != nil) != want.failure || (err != nil) != want.fail {
			t.Errorf("%s: %v, %v, %v", line, score, failure, err)
		}
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	for _, seed := range []string{`{"reward":1}`, `{"error":"x"}`, `{"reward":null}`, `{"reward":1e309}`, `[1]`, ``, `{"error":null,"reward":2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		score, failure, err := decodeAnswer(line)
		switch {
		case err != nil && failure != nil:
			t.Fatalf("%v and %v", failure, err)
		case err != nil || failure != nil:
			if score != 0 {
				t.Fatalf("%v with %v, %v", score, failure, err)
			}
		case math.IsNaN(score) || math.IsInf(score, 0):
			t.Fatalf("reward %v", score)
		}
	})
}
