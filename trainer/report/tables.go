package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// table is text in rows and columns.
type table struct {
	Title  string
	Header []string
	Rows   [][]string
}

// markdown writes the table as GitHub shows it.
func (t *table) markdown() string {
	var out strings.Builder
	line := func(cells []string) {
		out.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	fmt.Fprintf(&out, "**%s**\n\n", t.Title)
	line(t.Header)
	line(slices.Repeat([]string{"---"}, len(t.Header)))
	for _, row := range t.Rows {
		line(row)
	}
	return out.String()
}

const none = "–"

// figure writes a mean over seeds with their deviation.
func figure(format string, mean, deviation float64) string {
	switch {
	case math.IsNaN(mean):
		return none
	case math.IsNaN(deviation):
		return fmt.Sprintf(format, mean)
	}
	return fmt.Sprintf(format+" ± "+format, mean, deviation)
}

// settings is the table of all settings: held-out prompts, means over seeds.
func (s *study) settings() *table {
	t := &table{Title: "All settings on the held-out prompts: means over seeds ± deviation"}
	for _, key := range s.varied {
		t.Header = append(t.Header, key[strings.LastIndexByte(key, '.')+1:])
	}
	t.Header = append(t.Header, "seeds", "reward", "gain over greedy", "win rate", "perplexity", "rejections/token", "forwards/token", "tokens")
	for _, g := range s.groups {
		var row []string
		for _, key := range s.varied {
			row = append(row, g.values[key])
		}
		row = append(row, fmt.Sprintf("%d of %d", len(g.evaluated()), len(g.runs)))
		for _, column := range []struct {
			format string
			get    func(*eval.Evaluation) float64
		}{
			{"%.2f", proxyReward},
			{"%.2f", func(e *eval.Evaluation) float64 { return e.Proxy().Gain.Mean }},
			{"%.2f", func(e *eval.Evaluation) float64 { return e.Proxy().WinRate }},
			{"%.2f", proxyPerplexity},
			{"%.2f", func(e *eval.Evaluation) float64 { return e.Proxy().Rejections }},
			{"%.2f", func(e *eval.Evaluation) float64 { return e.Proxy().Forwards }},
			{"%.0f", func(e *eval.Evaluation) float64 { return e.Proxy().Tokens }},
		} {
			mean, deviation := g.mean(column.get)
			row = append(row, figure(column.format, mean, deviation))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// table2 is the paper's Table 2, a row for each setting. Where runs of several lengths were made, the columns are these, on
// the held-out prompts; otherwise they are the validations on the way, and the last is the held-out prompts after training.
func (s *study) table2() *table {
	if s.varies(knobEpisodes) {
		return s.table2ByRuns()
	}
	t := &table{Title: "Table 2: mean reward of the validation prompts after so many training episodes, and of the held-out prompts at the end"}
	episodes := s.validated()
	t.Header = []string{"setting"}
	for _, n := range episodes {
		t.Header = append(t.Header, fmt.Sprint(n))
	}
	t.Header = append(t.Header, "held out")
	for _, g := range s.groups {
		row := []string{s.label(g)}
		for _, n := range episodes {
			rewards := g.validationsAt(n)
			row = append(row, figure("%.2f", stats.Mean(rewards), stats.Deviation(rewards)))
		}
		mean, deviation := g.mean(proxyReward)
		t.Rows = append(t.Rows, append(row, figure("%.2f", mean, deviation)))
	}
	return t
}

func (s *study) table2ByRuns() *table {
	t := &table{Title: "Table 2: mean reward of the held-out prompts after training on so many episodes", Header: []string{"setting"}}
	var amounts []string
	for _, g := range s.groups {
		if n := g.values[knobEpisodes]; !slices.Contains(amounts, n) {
			amounts = append(amounts, n)
		}
	}
	slices.SortFunc(amounts, compareTexts)
	t.Header = append(t.Header, amounts...)
	for _, series := range s.along(knobEpisodes) {
		row := []string{s.label(series[0], knobEpisodes)}
		for _, n := range amounts {
			cell := none
			for _, g := range series {
				if g.values[knobEpisodes] == n {
					mean, deviation := g.mean(proxyReward)
					cell = figure("%.2f", mean, deviation)
				}
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// validated lists the numbers of episodes at which any run was validated.
func (s *study) validated() (episodes []int) {
	for i := range s.runs {
		for _, v := range s.runs[i].Validations {
			episodes = append(episodes, v.Episodes)
		}
	}
	slices.Sort(episodes)
	return slices.Compact(episodes)
}

// validationsAt are the rewards of a group's runs after n episodes.
func (g *group) validationsAt(n int) (rewards []float64) {
	for _, r := range g.runs {
		for _, v := range r.Validations {
			if v.Episodes == n {
				rewards = append(rewards, v.Reward)
			}
		}
	}
	return rewards
}
