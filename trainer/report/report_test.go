package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/plot"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// aRun is a run to be written to a folder.
type aRun struct {
	pt, temperature float64
	seed            uint64
	change          func(*config.Config) // nil: nothing
	reward          float64              // on the held-out prompts; NaN: not evaluated
	perplexity      float64
	plain           bool // an evaluation without histogram and best-of-n
}

// write makes a run folder, as far as a report reads it.
func (a aRun) write(t *testing.T, dir string) {
	t.Helper()
	c := config.Default()
	c.Reward = reward.Spec{Type: reward.TypeVADER}
	c.Proxy.PT, c.Proxy.Temperature, c.Seed, c.Run = a.pt, a.temperature, a.seed, dir
	if a.change != nil {
		a.change(&c)
	}
	resolved, err := c.Complete().YAML()
	if err != nil {
		t.Fatal(err)
	}
	f, err := run.Open(dir, resolved)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, n := range []int64{128, 256, 384} {
		m := run.Metrics{"eval/reward": a.end() * float64(i+1) / 3, "eval/perplexity": 2.5, "eval/greedy_reward": -0.5, "eval/greedy_perplexity": 2}
		if err := f.AppendMetrics(n, time.UnixMilli(1), m); err != nil {
			t.Fatal(err)
		}
	}
	if math.IsNaN(a.reward) {
		return
	}
	data, err := json.Marshal(a.evaluation(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.WriteFile(eval.File, data); err != nil {
		t.Fatal(err)
	}
}

func (a aRun) end() float64 {
	if math.IsNaN(a.reward) {
		return 0
	}
	return a.reward
}

func (a aRun) evaluation(t *testing.T) eval.Evaluation {
	row := func(policy string, mean, perplexity float64) eval.Summary {
		s := eval.Summary{Policy: policy, Perplexity: perplexity, Tokens: 40}
		s.Reward.Mean, s.Gain.Mean, s.WinRate = mean, mean+0.5, 0.75
		if !a.plain {
			var xs []float64
			for i := range 96 {
				xs = append(xs, mean+math.Sin(float64(i)))
			}
			h, err := stats.NewHistogram(xs, mean-1, mean+1, 10)
			if err != nil {
				t.Fatal(err)
			}
			s.Histogram = &h
		}
		return s
	}
	e := eval.Evaluation{Prompts: 96, Summaries: []eval.Summary{row("base greedy", -0.5, 2), row("base sampling", -0.6, 3), row("proxy", a.reward, a.perplexity)}}
	if !a.plain {
		for _, n := range []int{2, 32} {
			e.BestOf = append(e.BestOf, eval.BestOf{N: n, Summary: eval.Summary{Score: eval.Score{WinRate: 0.9 - 1/float64(n+1)}}})
		}
	}
	return e
}

// gridOf is a sweep like the paper's, with the paper's trends, on the first so many values of each knob.
func gridOf(t *testing.T, values int, plain bool) string {
	dir := t.TempDir()
	for _, pt := range []float64{0.1, 0.01, 0.001, 0.0001}[:values] {
		for _, temperature := range []float64{0.25, 0.5, 0.75, 1}[:values] {
			for seed := range uint64(3) {
				gain := temperature * math.Log10(1/pt)
				aRun{pt: pt, temperature: temperature, seed: seed + 1, plain: plain,
					reward: -0.5 + 0.2*gain + 0.03*float64(seed), perplexity: 2 + gain*gain/3,
				}.write(t, filepath.Join(dir, fmt.Sprint("pt", pt, "t", temperature, "s", seed)))
			}
		}
	}
	return dir
}

func build(t *testing.T, dirs ...string) map[string][]byte {
	t.Helper()
	runs, err := ReadRuns(dirs)
	if err != nil {
		t.Fatal(err)
	}
	files, err := Build(runs)
	if err != nil {
		t.Fatal(err)
	}
	if out := os.Getenv("REPORT_TEST_OUT"); out != "" { // to look at
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

func TestReportOfASweep(t *testing.T) {
	files := build(t, gridOf(t, 4, false))
	page := string(files[Page])
	for _, figure := range []string{"figure2a", "figure2b", "figure3a", "figure3b", "figure4", "figure5"} {
		if _, err := png.Decode(bytes.NewReader(files[figure+".png"])); err != nil {
			t.Errorf("%s.png: %v", figure, err)
		}
		if !bytes.HasPrefix(files[figure+".svg"], []byte("<?xml")) {
			t.Errorf("%s.svg is no SVG", figure)
		}
	}
	if n := strings.Count(page, "<svg"); n != 6 {
		t.Errorf("the page has %d drawings, want 6", n)
	}
	// What a browser would fetch, or run.
	if m := regexp.MustCompile(`(?i)<script|<link|<img|@import|url\(|src=|href=`).FindAllString(page, -1); m != nil {
		t.Errorf("the page needs %q", m)
	}
	for _, want := range []string{
		"48 runs", "Table 2", "-10.14", "-2.92", "another model", "best of 32", "0.63", "p_t 0.0001, temperature 1", "± 0.03",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "Not drawn") {
		t.Error("something was not drawn")
	}
}

// Runs of several algorithms have their curves side by side, of reward and of the perplexity it cost.
func TestReportOfAlgorithms(t *testing.T) {
	dir := t.TempDir()
	for _, algorithm := range []string{config.PPO, config.SAC} {
		for seed := range uint64(2) {
			aRun{pt: 0.01, temperature: 1, seed: seed + 1, reward: 0.5, perplexity: 3, change: func(c *config.Config) {
				c.Algorithm = algorithm
				if algorithm == config.SAC {
					c.SAC.Alpha = 0.003 // of no other algorithm: no setting in which it differs from SAC
				}
			}}.
				write(t, filepath.Join(dir, fmt.Sprint(algorithm, seed)))
		}
	}
	files := build(t, dir)
	drawing := string(files["algorithms.svg"])
	for _, want := range []string{"algorithm ppo", "algorithm sac", "perplexity", "mean reward", greedyOnWay} {
		if !strings.Contains(drawing, want) {
			t.Errorf("algorithms.svg lacks %q", want)
		}
	}
	if strings.Contains(drawing, "alpha") {
		t.Error("algorithms.svg names a knob that PPO has not and in which SAC's runs do not differ")
	}
	runs, err := ReadRuns([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	s := newStudy(runs)
	// Thin, thin and their mean: of rewards ±0.5 on the way, equal for both seeds.
	lines := s.groups[0].progress("ppo", func(v Validation) float64 { return v.Reward })
	mean := plot.Line{Name: "ppo", X: []float64{128, 256, 384}, Y: []float64{0.5 / 3, 1. / 3, 0.5}}
	thin := mean
	thin.Faint = true
	if d := cmp.Diff([]plot.Line{thin, thin, mean}, lines, cmpopts.EquateApprox(0, 1e-12)); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	perplexity := onTheWay(s.groups[1].runs, func(v Validation) float64 { return v.GreedyPerplexity })
	if d := cmp.Diff([]float64{2, 2, 2, 2, 2, 2}, perplexity); d != "" {
		t.Errorf("greedy's perplexity −want +got\n%s", d)
	}
}

func TestEqualRunsGiveEqualReports(t *testing.T) {
	if d := cmp.Diff(build(t, gridOf(t, 2, false)), build(t, gridOf(t, 2, false))); d != "" {
		t.Errorf("another report of the same runs elsewhere\n%.500s", d)
	}
}

func TestTables(t *testing.T) {
	dir := t.TempDir()
	for i, a := range []aRun{
		{pt: 0.01, temperature: 1, seed: 1, reward: 0.25, perplexity: 3},
		{pt: 0.01, temperature: 1, seed: 2, reward: 0.75, perplexity: 2.5},
		{pt: 0.1, temperature: 1, seed: 1, reward: -0.5, perplexity: 2},
		{pt: 0.1, temperature: 1, seed: 2, reward: math.NaN()},
	} {
		a.write(t, filepath.Join(dir, fmt.Sprint(i)))
	}
	runs, err := ReadRuns([]string{dir, filepath.Join(dir, "0")}) // the second is in the first
	if err != nil {
		t.Fatal(err)
	}
	s := newStudy(runs)
	want := [][]string{
		{"p_t 0.1", "-0.08 ± 0.12", "-0.17 ± 0.24", "-0.25 ± 0.35", "-0.50"},
		{"p_t 0.01", "0.17 ± 0.12", "0.33 ± 0.24", "0.50 ± 0.35", "0.50 ± 0.35"},
	}
	table2 := s.table2()
	if d := cmp.Diff(want, table2.Rows); d != "" {
		t.Errorf("Table 2 −want +got\n%s", d)
	}
	if d := cmp.Diff([]string{"setting", "128", "256", "384", "held out"}, table2.Header); d != "" {
		t.Errorf("header of Table 2 −want +got\n%s", d)
	}
	settings := s.settings()
	if d := cmp.Diff([]string{"0.01", "2 of 2", "0.50 ± 0.35", "1.00 ± 0.35", "0.75 ± 0.00", "2.75 ± 0.35"}, settings.Rows[1][:6]); d != "" {
		t.Errorf("settings −want +got\n%s", d)
	}
	if d := cmp.Diff([]string{"0.1", "1 of 2", "-0.50", "0.00"}, settings.Rows[0][:4]); d != "" {
		t.Errorf("settings −want +got\n%s", d)
	}
	if got := (&table{Title: "T", Header: []string{"a", "b"}, Rows: [][]string{{"1", "2"}}}).markdown(); got != "**T**\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n" {
		t.Errorf("Markdown is %q", got)
	}
}

// Runs of several lengths are Table 2's columns.
func TestTable2OfSeveralAmounts(t *testing.T) {
	dir := t.TempDir()
	for i, episodes := range []int{64, 640, 128} {
		aRun{pt: 0.01, temperature: 1, seed: 1, reward: float64(episodes) / 100, perplexity: 2, change: func(c *config.Config) { c.Episodes = episodes }}.
			write(t, filepath.Join(dir, fmt.Sprint(i)))
	}
	runs, err := ReadRuns([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	table2 := newStudy(runs).table2()
	if d := cmp.Diff([]string{"setting", "64", "128", "640"}, table2.Header); d != "" {
		t.Errorf("header −want +got\n%s", d)
	}
	if d := cmp.Diff([][]string{{"proxy", "0.64", "1.28", "6.40"}}, table2.Rows); d != "" {
		t.Errorf("rows −want +got\n%s", d)
	}
}

// The best setting is the best readable one, or the best of all where none is.
func TestBestSettingIsReadable(t *testing.T) {
	for name, c := range map[string]struct {
		perplexities []float64 // of rewards 1, 2 and 3; greedy's is 2
		want         float64
	}{
		"one is garbled": {[]float64{2, 2.9, 3.1}, 2},
		"all are":        {[]float64{4, 5, 9}, 3},
		"none is":        {[]float64{2, 2, 2}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i, p := range c.perplexities {
				aRun{pt: 0.01 * float64(i+1), temperature: 1, seed: 1, reward: float64(i + 1), perplexity: p}.write(t, filepath.Join(dir, fmt.Sprint(i)))
			}
			runs, err := ReadRuns([]string{dir})
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := newStudy(runs).best().mean(proxyReward); got != c.want {
				t.Errorf("the best has reward %g, want %g", got, c.want)
			}
		})
	}
}

// What there are no numbers for is not drawn, and the page says so.
func TestReportOfWhatThereIs(t *testing.T) {
	one := filepath.Join(t.TempDir(), "one")
	aRun{pt: 0.01, temperature: 0.8, seed: 1, reward: math.NaN()}.write(t, one)
	files := build(t, one)
	if len(files) != 4 || files["figure4.svg"] == nil || !strings.Contains(string(files[Page]), "no run was evaluated") {
		t.Errorf("of one run that was not evaluated there are %d files", len(files))
	}
	files = build(t, gridOf(t, 2, true))
	if files["figure2a.svg"] != nil || files["figure3a.svg"] == nil || files["figure5.svg"] == nil || !strings.Contains(string(files[Page]), "have no histograms") {
		t.Error("evaluations without histograms: figure 2a is there, or another is not")
	}
}

func TestReadRunsRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadRuns([]string{dir}); err == nil || !strings.Contains(err.Error(), "no run in it") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := ReadRuns([]string{filepath.Join(dir, "nowhere")}); err == nil {
		t.Error("no folder: no error")
	}
	aRun{pt: 0.01, temperature: 1, seed: 1, reward: 1, perplexity: 2}.write(t, filepath.Join(dir, "a"))
	aRun{pt: 0.01, temperature: 1, seed: 1, reward: 1, perplexity: 2, change: func(c *config.Config) { c.Model = "other" }}.write(t, filepath.Join(dir, "b"))
	if _, err := ReadRuns([]string{dir}); err == nil || !strings.Contains(err.Error(), `model is "smollm2:135m" in one and "other"`) {
		t.Errorf("two models: %v", err)
	}
	c := filepath.Join(t.TempDir(), "c")
	aRun{pt: 0.01, temperature: 1, seed: 1, reward: 1, perplexity: 2}.write(t, c)
	path := filepath.Join(c, eval.File)
	if err := os.WriteFile(path, []byte(`{"summaries":[{"policy":"base greedy"},{"policy":"base sampling"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRuns([]string{c}); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "the proxy is not among") {
		t.Errorf("an evaluation without the proxy: %v", err)
	}
}

// Histograms whose edges differ add up to what all their numbers have.
func TestDensity(t *testing.T) {
	d := newDensity(0, bins) // one wide each
	d.add(&stats.Histogram{Edges: []float64{0, 2, 4}, Counts: []int{4, 2}})
	d.add(&stats.Histogram{Edges: []float64{1.5, 2.5}, Counts: []int{4}})
	d.add(nil)
	got := d.distribution("x")
	if d := cmp.Diff([]float64{0.2, 0.4, 0.3, 0.1, 0}, got.Share[:5]); d != "" {
		t.Errorf("shares −want +got\n%s", d)
	}
}
