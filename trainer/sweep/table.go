package sweep

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// WriteTable writes a row for each combination of values, with the means over its seeds that are done.
func (r *Record) WriteTable(w io.Writer) {
	keys := slices.Sorted(maps.Keys(r.Grid))
	names := shortNames(keys)
	var header []string
	for _, key := range keys {
		header = append(header, names[key])
	}
	header = append(header, "seeds", "reward ± sd", "gain over greedy", "win rate", "perplexity", "rejections/token", "forwards/token")
	t := tablewriter.NewWriter(w)
	t.SetHeader(header)
	t.SetAutoFormatHeaders(false)
	t.SetAutoWrapText(false)
	t.SetBorder(false)
	t.SetAlignment(tablewriter.ALIGN_LEFT)
	for _, values := range product(r.Grid, keys) {
		t.Append(r.row(keys, values))
	}
	t.Render()
}

func (r *Record) row(keys []string, values map[string]string) []string {
	var row []string
	for _, key := range keys {
		row = append(row, values[key])
	}
	var done []*Scores
	cells, failed := 0, 0
	for i := range r.Cells {
		c := &r.Cells[i]
		if !maps.Equal(c.Values, values) {
			continue
		}
		cells++
		if c.Status == Failed {
			failed++
		}
		if c.Scores != nil {
			done = append(done, c.Scores)
		}
	}
	seeds := fmt.Sprintf("%d of %d", len(done), cells)
	if failed > 0 {
		seeds += fmt.Sprintf(", %d failed", failed)
	}
	row = append(row, seeds)
	if len(done) == 0 {
		return append(row, strings.Split(strings.Repeat("–", 6), "")...)
	}
	of := func(get func(*Scores) float64) []float64 {
		var xs []float64
		for _, s := range done {
			xs = append(xs, get(s))
		}
		return xs
	}
	mean := func(format string, get func(*Scores) float64) string { return fmt.Sprintf(format, stats.Mean(of(get))) }
	reward := mean("%.2f", func(s *Scores) float64 { return s.Reward })
	if sd := stats.Deviation(of(func(s *Scores) float64 { return s.Reward })); !math.IsNaN(sd) {
		reward += fmt.Sprintf(" ± %.2f", sd)
	}
	return append(row, reward,
		mean("%+.2f", func(s *Scores) float64 { return s.Gain }),
		mean("%.2f", func(s *Scores) float64 { return s.WinRate }),
		mean("%.2f", func(s *Scores) float64 { return s.Perplexity }),
		mean("%.2f", func(s *Scores) float64 { return s.Rejections }),
		mean("%.2f", func(s *Scores) float64 { return s.Forwards }))
}
