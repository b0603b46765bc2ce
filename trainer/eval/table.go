package eval

import (
	"fmt"
	"io"

	"github.com/olekukonko/tablewriter"
)

// WriteTable writes summaries, the baseline first, as a table.
func WriteTable(w io.Writer, summaries []Summary) {
	t := tablewriter.NewWriter(w)
	header := []string{"", "reward [95 %]", "gain over greedy [95 %]", "win rate", "tokens", "perplexity", "rejections/token", "forwards/token", "tokens/s"}
	t.SetHeader(header)
	t.SetAutoFormatHeaders(false)
	t.SetAutoWrapText(false)
	t.SetBorder(false)
	t.SetAlignment(tablewriter.ALIGN_LEFT)
	for i, s := range summaries {
		gain, wins := s.Gain.String(), fmt.Sprintf("%.2f", s.WinRate)
		if i == 0 {
			gain, wins = "", ""
		}
		t.Append([]string{
			s.Policy, s.Reward.String(), gain, wins, fmt.Sprintf("%.1f", s.Tokens), fmt.Sprintf("%.2f", s.Perplexity),
			fmt.Sprintf("%.2f", s.Rejections), fmt.Sprintf("%.2f", s.Forwards), fmt.Sprintf("%.0f", s.TokensPerSecond),
		})
	}
	t.Render()
}
