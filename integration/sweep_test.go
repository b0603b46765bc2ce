//go:build patched

package integration

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/report"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/sweep"
)

// smallSweep is two cells of 64 episodes, of which the second has more to choose from.
func smallSweep(dir string) []string {
	return append([]string{
		"sweep", "--config", root("configs", "sweep.yaml"), "--run", dir, "--prompts.path", root("configs", "prompts.jsonl"),
		"--grid", "proxy.p_t=0.1,0.001", "--seeds", "1", "--proxy.temperature", "1",
		"--episodes", "64", "--batch_size", "16", "--tokens", "12", "--eval.every", "32", "--prompts.validation", "8", "--eval.prompts", "16",
		"--proxy.hidden_sizes", "16", "--ollama.parallel", "8", "--ppo.minibatch_size", "128", "--eval.bootstrap_samples", "200",
	}, where()...)
}

// A sweep trains its cells on one server, is broken off and goes on, and the report draws the paper's figures from it.
func TestSweepAndReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "grid")
	second := filepath.Join(dir, "p_t=0.001,seed=1", run.MetricsFile)
	cmd := trainer(smallSweep(dir)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(t, cmd.Start())
	waitFor(t, "the first update of the second cell", func() bool { data, _ := os.ReadFile(second); return len(data) > 0 })
	check(t, cmd.Process.Signal(os.Interrupt))
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 130 || !strings.Contains(out.String(), "goes on from") {
		t.Fatalf("after Ctrl-C: %v\n%s", err, &out)
	}
	record := readSweep(t, dir)
	if record.Count(sweep.Done) != 1 || record.Count(sweep.Open) != 1 {
		t.Fatalf("after Ctrl-C the cells are %+v", record.Cells)
	}
	if again, err := trainer(smallSweep(dir)...).CombinedOutput(); err != nil {
		t.Fatalf("going on: %v\n%s", err, again)
	}
	record = readSweep(t, dir)
	if record.Count(sweep.Done) != 2 {
		t.Fatalf("in the end the cells are %+v", record.Cells)
	}
	for _, cell := range record.Cells {
		var steps []int64
		records, err := run.ReadMetrics(filepath.Join(dir, cell.Name))
		check(t, err)
		for _, r := range records {
			if _, ok := r.Metrics["charts/episodic_return"]; ok {
				steps = append(steps, r.Step)
			}
		}
		if d := cmp.Diff([]int64{16, 32, 48, 64}, steps); d != "" {
			t.Errorf("%s: updates −want +got\n%s", cell.Name, d)
		}
		if _, err := os.Stat(filepath.Join(dir, cell.Name, run.EventsFile)); err != nil {
			t.Error(err)
		}
	}
	// p_t 0.1 leaves little to reject, 0.001 much (the paper's section 3).
	if few, many := record.Cells[0].Scores.Rejections, record.Cells[1].Scores.Rejections; few > many+0.5 {
		t.Errorf("%.2f rejections a token at p_t 0.1, %.2f at 0.001", few, many)
	}

	text, err := trainer("report", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("report: %v\n%s", err, text)
	}
	for _, name := range []string{"figure2b.png", "figure3a.png", "figure4.png", "figure5.png"} {
		data, err := os.ReadFile(filepath.Join(dir, "report", name))
		check(t, err)
		if _, err := png.Decode(bytes.NewReader(data)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "report", report.Page))
	check(t, err)
	for _, want := range []string{"Table 2", "-10.14", "p_t 0.001"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func readSweep(t *testing.T, dir string) *sweep.Record {
	t.Helper()
	r, err := sweep.Read(filepath.Join(dir, sweep.File))
	check(t, err)
	return r
}
