package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env/envtest"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/learn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/report"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/sweep"
)

// smallRun is the flags of a run of moments on a server of hashes.
func smallRun(t *testing.T, server *envtest.Server, dir string) []string {
	t.Helper()
	t.Setenv("OLLAMA_HOST", "")
	var lines strings.Builder
	for i := range 40 {
		split := "train"
		if i%4 == 0 {
			split = "test"
		}
		fmt.Fprintf(&lines, "{\"prompt\": \"say something of %d\", \"split\": \"%s\"}\n", i, split)
	}
	prompts := filepath.Join(t.TempDir(), "prompts.jsonl")
	if err := os.WriteFile(prompts, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{
		"--run", dir, "--ollama.host", server.URL, "--model", "hash", "--prompts.path", prompts, "--prompts.hold_out", "8", "--prompts.validation", "8",
		"--reward.type", "regexp", "--reward.pattern", "bad", "--reward.per_match", "-1", "--proxy.hidden_sizes", "8", "--proxy.top_p", "1",
		"--episodes", "32", "--batch_size", "8", "--tokens", "12", "--ppo.minibatch_size", "64", "--ppo.gamma", "0", "--ppo.learning_rate", "5e-3",
		"--eval.every", "16", "--eval.max_perplexity_ratio", "0", "--eval.bootstrap_samples", "50",
	}
}

// call runs a command line.
func call(ctx context.Context, args ...string) error {
	root := newRoot()
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

func readSweep(t *testing.T, dir string) *sweep.Record {
	t.Helper()
	r, err := sweep.Read(filepath.Join(dir, sweep.File))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A sweep that is interrupted goes on in the cell where it was, does every cell once, and is what a report is drawn from.
func TestSweepAndReport(t *testing.T) {
	server := envtest.New(t, "hash")
	dir := filepath.Join(t.TempDir(), "grid")
	args := append(smallRun(t, server, dir), "--grid", "proxy.p_t=0.1,0.02", "--grid", "proxy.temperature=0.5,1", "--seeds", "2")
	args = append([]string{"sweep"}, args...)

	ctx, cancel := context.WithCancel(context.Background())
	server.Fail = func(n int) int {
		if n == 120 { // in the second cell
			cancel()
		}
		return 0
	}
	if err := call(ctx, args...); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	server.Fail = nil
	record := readSweep(t, dir)
	if done, open := record.Count(sweep.Done), record.Count(sweep.Open); done != 1 || open != 7 {
		t.Fatalf("after the interruption %d cells are done and %d open, want 1 and 7", done, open)
	}
	before := server.Chats()
	if err := call(context.Background(), args...); err != nil {
		t.Fatal(err)
	}
	// A cell is 32 episodes, 8 greedy replies, two validations of 8, and an evaluation of 8 by each of two policies; the broken
	// one goes on.
	const cell = 32 + 8 + 2*8 + 2*8
	if n := server.Chats() - before; n >= 7*cell {
		t.Errorf("%d replies were asked for, want fewer than the %d of 7 cells from the start", n, 7*cell)
	}
	record = readSweep(t, dir)
	var names []string
	for _, c := range record.Cells {
		names = append(names, c.Name)
		if c.Status != sweep.Done || c.Scores == nil || c.Scores.Perplexity < 1 || c.Seconds <= 0 {
			t.Errorf("cell %s: %+v", c.Name, c)
		}
		steps := map[int64]int{}
		records, err := run.ReadMetrics(filepath.Join(dir, c.Name))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if _, ok := r.Metrics["charts/episodic_return"]; ok {
				steps[r.Step]++
			}
		}
		if d := cmp.Diff(map[int64]int{8: 1, 16: 1, 24: 1, 32: 1}, steps); d != "" {
			t.Errorf("cell %s: updates −want +got\n%s", c.Name, d)
		}
	}
	if d := cmp.Diff([]string{
		"p_t=0.1,temperature=0.5,seed=1", "p_t=0.1,temperature=1,seed=1", "p_t=0.02,temperature=0.5,seed=1", "p_t=0.02,temperature=1,seed=1",
		"p_t=0.1,temperature=0.5,seed=2", "p_t=0.1,temperature=1,seed=2", "p_t=0.02,temperature=0.5,seed=2", "p_t=0.02,temperature=1,seed=2",
	}, names); d != "" {
		t.Errorf("cells −want +got\n%s", d)
	}
	before = server.Chats()
	if err := call(context.Background(), args...); err != nil || server.Chats() != before {
		t.Errorf("a finished sweep: %v, %d replies asked for", err, server.Chats()-before)
	}

	out := filepath.Join(t.TempDir(), "report")
	if err := call(context.Background(), "report", dir, "-o", out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{report.Page, report.Tables, "figure2b.svg", "figure3a.svg", "figure3b.svg", "figure4.svg", "figure5.svg"} {
		if !exists(filepath.Join(out, name)) {
			t.Errorf("the report lacks %s", name)
		}
	}
	f, err := os.Open(filepath.Join(out, "figure3a.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Errorf("figure3a.png: %v", err)
	}
}

// A cell that fails is named, the others are done, and the sweep ends with an error; once the reason has gone it is tried again.
func TestSweepGoesOnPastAFailedCell(t *testing.T) {
	server := envtest.New(t, "hash")
	dir := filepath.Join(t.TempDir(), "grid")
	args := append([]string{"sweep"}, append(smallRun(t, server, dir), "--grid", "ppo.learning_rate=1e38,1e-3", "--ppo.max_grad_norm", "0")...)
	err := call(context.Background(), args...)
	if err == nil || !strings.Contains(err.Error(), "1 of 2 cells failed") || !strings.Contains(err.Error(), "learning_rate=1e38") {
		t.Fatalf("a sweep with a cell that diverges: %v", err)
	}
	record := readSweep(t, dir)
	if record.Cells[0].Status != sweep.Failed || !strings.Contains(record.Cells[0].Error, "actor: ") || record.Cells[1].Status != sweep.Done {
		t.Errorf("cells %+v", record.Cells)
	}
}

// Without a server there is nothing to go on with: one error, and every cell as it was.
func TestSweepEndsWithItsServer(t *testing.T) {
	server := envtest.New(t, "hash")
	dir := filepath.Join(t.TempDir(), "grid")
	server.Fail = func(n int) int {
		if n == 100 {
			go server.Close()
			return http.StatusBadRequest
		}
		return 0
	}
	err := call(context.Background(), append([]string{"sweep"}, append(smallRun(t, server, dir), "--grid", "proxy.p_t=0.1,0.02,0.01")...)...)
	if err == nil {
		t.Fatal("no error")
	}
	record := readSweep(t, dir)
	if record.Count(sweep.Done) != 1 || record.Count(sweep.Failed) > 1 {
		t.Errorf("%d cells are done and %d failed, want 1 and at most 1: %v", record.Count(sweep.Done), record.Count(sweep.Failed), err)
	}
}

func TestSweepRefuses(t *testing.T) {
	server := envtest.New(t, "hash")
	single := t.TempDir()
	if err := os.WriteFile(filepath.Join(single, run.MetricsFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for want, flags := range map[string][]string{
		`unknown key "p_t": did you mean "proxy.p_t"`: {"--grid", "p_t=0.1"},
		`want a knob and its values`:                  {"--grid", "proxy.p_t"},
		`"x" is not a finite number`:                  {"--grid", "proxy.p_t=0.1,x"},
		`is not to be varied`:                         {"--grid", "seed=1,2"},
		`cell batch_size=12,seed=1: `:                 {"--grid", "batch_size=8,12"},
		`holds a single run: give the sweep another`:  {"--run", single},
		`no such file`:                                {"--prompts.path", "nowhere.jsonl", "--seeds", "1"},
		`two cells have the name pattern=b_d,seed=1`:  {"--grid", "reward.pattern=b?d,b*d"},
		`0.02 twice`:                                  {"--grid", "proxy.p_t=0.02,0.02"},
	} {
		args := append([]string{"sweep"}, append(smallRun(t, server, filepath.Join(t.TempDir(), "grid")), flags...)...)
		if err := call(context.Background(), args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", flags, err, want)
		}
	}
	if server.Chats() != 0 {
		t.Errorf("%d replies were asked for", server.Chats())
	}
}

// A run is refused while another process has its folder; train says where to begin.
func TestTrainResume(t *testing.T) {
	server := envtest.New(t, "hash")
	dir := filepath.Join(t.TempDir(), "run")
	args := append([]string{"train"}, smallRun(t, server, dir)...)
	if err := call(context.Background(), append(args, "--resume", learn.ResumeNever)...); err != nil {
		t.Fatal(err)
	}
	if err := call(context.Background(), append(args, "--resume", learn.ResumeNever)...); !errors.Is(err, learn.ErrTrained) {
		t.Errorf("a second new run: %v, want ErrTrained", err)
	}
	folder, err := run.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := call(context.Background(), args...); !errors.Is(err, run.ErrInUse) {
		t.Errorf("a run in use: %v, want ErrInUse", err)
	}
	folder.Close()
	other := filepath.Join(t.TempDir(), "longer")
	longer := append([]string{"train"}, smallRun(t, server, other)...)
	if err := call(context.Background(), append(longer, "--episodes", "48", "--resume", filepath.Join(dir, learn.LastCheckpoint))...); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(other, run.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	var first struct{ Step int }
	line, _, _ := strings.Cut(string(data), "\n")
	if err := json.Unmarshal([]byte(line), &first); err != nil || first.Step != 40 {
		t.Errorf("the longer run begins with step %d, %v; want 40", first.Step, err)
	}
}
