package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

var update = flag.Bool("update", false, "write testdata anew")

// fullComparison is everything that can be asked for, on three prompts.
func fullComparison() Comparison {
	c := Comparison{
		Greedy:   scores(NameGreedy, 0, []float64{0, 1, 2}, nil),
		Sampling: scores(NameSampling, 4, []float64{0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 3, 2}, nil),
		Proxy:    scores(NameProxy, 0, []float64{2, 1, 3}, &wire.Stats{Accepted: 3, Forced: 1, Rejected: 2, Forwards: 6}),
		BestOf:   []int{4, 2, 2}, ShowSampling: true, Resamples: 200, Seed: 1,
	}
	for _, s := range []*Scores{c.Greedy, c.Sampling, c.Proxy} {
		for i := range s.Replies {
			s.Replies[i].Prompt = prompts.Prompt{Text: "prompt " + string(rune('a'+i/s.draws()))}
			s.Rewards2 = append(s.Rewards2, float64(i%3)+s.Rewards[i]/2)
		}
	}
	c.Proxy.Replies[0].LogProbs = []float64{-2, -2}
	c.Proxy.Replies[2] = env.Reply{Prompt: c.Proxy.Replies[2].Prompt, Text: "I cannot. I cannot.", Tokens: 30, DoneReason: env.DoneCut, LogProbs: []float64{-1}}
	return c
}

func mustEvaluate(t *testing.T, c Comparison) *Evaluation {
	t.Helper()
	e, err := c.Evaluate()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The file is read by other programs: its names and their meaning stay. Make it anew with -update only to add to it.
func TestEvaluationFile(t *testing.T) {
	e := mustEvaluate(t, fullComparison())
	e.Reward, e.Reward2, e.Judge = "regexp", "vader", "llama"
	e.Summaries[2].Judge = &Judgement{WinRate: stats.Interval{Mean: .75, Low: .5, High: 1}, Wins: 1, Ties: 1, Refusals: 1}
	got, err := e.JSON()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", File)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var wantJSON, gotJSON any
	if err := errors.Join(json.Unmarshal(want, &wantJSON), json.Unmarshal(got, &gotJSON)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantJSON, gotJSON, near); diff != "" { // another machine may round otherwise
		t.Errorf("(-%s +got):\n%s", path, diff)
	}
	back, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, back, near); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}

func TestEvaluateParts(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Comparison)
		rows   string // of the table, in order
		best   int
		equal  bool
		guard  bool
	}{
		{"all", func(*Comparison) {}, "base greedy, base sampling, best of 2, best of 4, proxy", 2, true, true},
		{"the demo", func(c *Comparison) { c.Sampling, c.ShowSampling, c.BestOf = nil, false, nil }, "base greedy, proxy", 0, false, false},
		{"sampling and no best-of", func(c *Comparison) { c.BestOf = nil }, "base greedy, base sampling, proxy", 0, false, true},
		{"best-of alone", func(c *Comparison) { c.ShowSampling = false }, "base greedy, best of 2, best of 4, proxy", 2, true, true},
		{"without a proxy", func(c *Comparison) { c.Proxy = nil }, "base greedy, base sampling, best of 2, best of 4", 2, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			comparison := fullComparison()
			c.change(&comparison)
			e := mustEvaluate(t, comparison)
			var names []string
			for _, row := range e.rows() {
				names = append(names, row.Policy)
				if (row.TextGuard != nil) != c.guard {
					t.Errorf("%s: text guard %v", row.Policy, row.TextGuard)
				}
			}
			if got := strings.Join(names, ", "); got != c.rows {
				t.Errorf("rows %s, want %s", got, c.rows)
			}
			if len(e.BestOf) != c.best || (e.EqualN != nil) != c.equal || (e.EqualN2 != nil) != c.equal {
				t.Errorf("%d rows of best-of-n, equal %v, by the second reward %v", len(e.BestOf), e.EqualN, e.EqualN2)
			}
			for _, s := range e.Summaries {
				n := 0
				for _, count := range s.Histogram.Counts {
					n += count
				}
				if want := map[bool]int{true: 12, false: 3}[s.Policy == NameSampling]; n != want {
					t.Errorf("%s: %d rewards in the histogram, want %d", s.Policy, n, want)
				}
				if diff := cmp.Diff(e.Summaries[0].Histogram.Edges, s.Histogram.Edges); diff != "" {
					t.Errorf("%s: other edges than greedy's:\n%s", s.Policy, diff)
				}
			}
		})
	}
}

// The proxy's first reply is less likely than all samples, so the guard catches it; the samples lie on it.
func TestTextGuard(t *testing.T) {
	e := mustEvaluate(t, fullComparison())
	for policy, want := range map[string]float64{NameGreedy: 0, NameSampling: 0, NameProxy: 1. / 3} {
		for _, s := range e.Summaries {
			if s.Policy == policy && *s.TextGuard != want {
				t.Errorf("%s: text guard %v, want %v", policy, *s.TextGuard, want)
			}
		}
	}
	// Of 200 samples of different likelihood, ten lie above.
	many := scores(NameSampling, 100, make([]float64, 200), nil)
	for i := range many.Replies {
		many.Replies[i].LogProbs = []float64{-float64(i)}
	}
	guard, err := Comparison{Sampling: many}.guard()
	if err != nil {
		t.Fatal(err)
	}
	row, err := anyOf(many).summarise(anyOf(scores(NameGreedy, 0, []float64{0, 0}, nil)), guard, 10, 1)
	if err != nil || *row.TextGuard < .05-1e-12 || *row.TextGuard > .05+1e-12 {
		t.Errorf("sampling's own text guard %v, %v; want .05", *row.TextGuard, err)
	}
}

func TestEvaluateErrors(t *testing.T) {
	c := fullComparison()
	c.Greedy = c.Sampling
	if _, err := c.Evaluate(); err == nil || !strings.Contains(err.Error(), "baseline") {
		t.Errorf("a baseline of several draws: %v", err)
	}
	c = fullComparison()
	c.BestOf = []int{5}
	if _, err := c.Evaluate(); err == nil || !strings.Contains(err.Error(), "best of 5") {
		t.Errorf("more than was drawn: %v", err)
	}
	c = fullComparison()
	for i := range c.Sampling.Replies {
		c.Sampling.Replies[i].LogProbs = nil
	}
	if _, err := c.Evaluate(); err == nil || !strings.Contains(err.Error(), "base sampling") {
		t.Errorf("samples without likelihoods: %v", err)
	}
}

func TestReadErrors(t *testing.T) {
	if _, err := Read(filepath.Join(t.TempDir(), File)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for text, want := range map[string]string{
		"{": "unexpected end", "{}": "no summaries",
		`{"summaries":[{"policy":"a","reward2":{}},{"policy":"b"}]}`:   "a second reward of b or of a",
		`{"summaries":[{"policy":"a"}],"samples":[{"replies":["x"]}]}`: "sample 1 has 1 replies and 0 rewards",
	} {
		path := filepath.Join(t.TempDir(), File)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// However large the numbers of a reward get, a line fits a terminal of 120 columns.
func TestTableFitsATerminal(t *testing.T) {
	c := fullComparison()
	for _, s := range []*Scores{c.Greedy, c.Sampling, c.Proxy} {
		for i := range s.Rewards {
			s.Rewards[i] = -999 * (1 + s.Rewards[i])
			s.Rewards2[i] *= -999
		}
	}
	e := mustEvaluate(t, c)
	for _, judge := range []*Judgement{nil, {WinRate: stats.Interval{Mean: .75, Low: .5, High: 1}, Wins: 1, Refusals: 192}} {
		e.Summaries[2].Judge = judge
		var out bytes.Buffer
		e.Write(&out, Plain)
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n ")); n > 120 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
		for _, want := range []string{"base greedy", "best of 4", "win rate", "tokens/s", "unlikely text", "second reward", "best-of-n equals the proxy at n = "} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the table lacks %q:\n%s", want, &out)
			}
		}
		if got := strings.Contains(out.String(), "| 192 "); got != (judge != nil) {
			t.Errorf("with a judge %t:\n%s", judge != nil, &out)
		}
	}
}

// Markdown tables have as many cells in each line as in their heading, and a line of dashes below that.
func TestMarkdown(t *testing.T) {
	var out bytes.Buffer
	mustEvaluate(t, fullComparison()).Write(&out, Markdown)
	tables := 0
	lines := strings.Split(out.String(), "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		head := !strings.HasPrefix(lines[i-1], "|")
		if head {
			tables++
			if strings.Trim(lines[i+1], "|-") != "" {
				t.Errorf("below the heading %q there is %q", line, lines[i+1])
			}
		} else if strings.Count(line, "|") != strings.Count(lines[i-1], "|") {
			t.Errorf("%q has other cells than %q", line, lines[i-1])
		}
		if !strings.HasSuffix(line, "|") {
			t.Errorf("%q is open", line)
		}
	}
	if tables != 4 {
		t.Errorf("%d tables, want 4:\n%s", tables, &out)
	}
}

func TestWriteSamples(t *testing.T) {
	var out bytes.Buffer
	mustEvaluate(t, fullComparison()).WriteSamples(&out)
	want := `prompt a
  base greedy   +0.00  "a b a b"
  base sampling +0.00  "a b a b"
  proxy         +2.00  "a b a b"

prompt c
  base greedy   +2.00  "a b a b"
  base sampling +0.00  "a b a b"
  proxy         +3.00  "I cannot. I cannot."

`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever a file says, if it is read it can be written, for programs and for people.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"summaries":[{"policy":"proxy"}],"best_of":[{"n":2,"judge":{}}],"equal_n":{"largest":2}}`))
	f.Add([]byte(`{"summaries":[{"policy":"a","reward2":{}}],"samples":[{"replies":["x"],"rewards":[1]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decode(data)
		if err != nil {
			return
		}
		again, err := e.JSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-read +written and read):\n%s", diff)
		}
		e.Write(io.Discard, Plain)
		e.Write(io.Discard, Markdown)
		e.WriteSamples(io.Discard)
	})
}
