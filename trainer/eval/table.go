package eval

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
)

// Style says how [Evaluation.Write] writes.
type Style int

const (
	Plain    Style = iota // for a terminal, within 120 columns
	Markdown              // tables as GitHub reads them
)

// Write writes the evaluation for people: tables of rewards, of what a judge says, of what the text is like and of what it costs,
// and where best-of-n meets the proxy.
func (e *Evaluation) Write(w io.Writer, style Style) {
	rows := e.rows()
	for _, t := range e.tables() {
		title := t.title
		if style == Markdown {
			title = "**" + title + "**"
		}
		fmt.Fprintf(w, "%s\n\n", title)
		t.write(w, rows, style)
		fmt.Fprintln(w)
	}
	e.writeEqual(w)
}

// rows are the summaries with best-of-n before the proxy.
func (e *Evaluation) rows() []Summary {
	rows := slices.Clone(e.Summaries)
	at := slices.IndexFunc(rows, func(s Summary) bool { return s.Policy == NameProxy })
	if at < 0 {
		at = len(rows)
	}
	for i, b := range e.BestOf {
		rows = slices.Insert(rows, at+i, b.Summary)
	}
	return rows
}

// table is some of the figures; each fits a terminal.
type table struct {
	title   string
	columns []column
	only    func(s Summary) bool // rows that it has; nil: all
}

type column struct {
	head string
	cell func(s *Summary) string
}

func (e *Evaluation) tables() []table {
	tables := []table{{title: titled("reward", e.Reward), columns: scoreColumns(func(s *Summary) *Score { return &s.Score })}}
	if e.Summaries[0].Second != nil {
		tables = append(tables, table{
			title:   titled("second reward, which nothing is chosen by", e.Reward2),
			columns: scoreColumns(func(s *Summary) *Score { return s.Second }),
		})
	}
	if slices.ContainsFunc(e.rows(), Summary.judged) {
		tables = append(tables, table{title: titled("judge", e.Judge), columns: judgeColumns, only: Summary.judged})
	}
	return append(tables, table{title: "text", columns: textColumns}, table{title: "cost", columns: costColumns})
}

func titled(what, name string) string {
	if name == "" {
		return what
	}
	return what + ": " + name
}

// scoreColumns leave out what compares the baseline with itself.
func scoreColumns(of func(*Summary) *Score) []column {
	return []column{
		{"reward [95 %]", func(s *Summary) string { return of(s).Reward.String() }},
		{"gain over greedy [95 %]", func(s *Summary) string {
			if s.Policy == NameGreedy {
				return ""
			}
			return of(s).Gain.String()
		}},
		{"win rate [95 %]", func(s *Summary) string {
			if s.Policy == NameGreedy {
				return ""
			}
			return of(s).WinRateInterval.String()
		}},
	}
}

func (s Summary) judged() bool { return s.Judge != nil }

// judgeColumns are of rows that were judged.
var judgeColumns = []column{
	{"win rate [95 %]", func(s *Summary) string {
		if s.Judge.Wins+s.Judge.Ties+s.Judge.Losses == 0 {
			return "none judged"
		}
		return s.Judge.WinRate.String()
	}},
	{"wins", func(s *Summary) string { return fmt.Sprint(s.Judge.Wins) }},
	{"ties", func(s *Summary) string { return fmt.Sprint(s.Judge.Ties) }},
	{"losses", func(s *Summary) string { return fmt.Sprint(s.Judge.Losses) }},
	{"ties for the place", func(s *Summary) string { return fmt.Sprint(s.Judge.Flips) }},
	{"refused by the judge", func(s *Summary) string { return fmt.Sprint(s.Judge.Refusals) }},
}

var textColumns = []column{
	{"tokens", func(s *Summary) string { return fmt.Sprintf("%.1f", s.Tokens) }},
	{"perplexity", func(s *Summary) string { return fmt.Sprintf("%.2f", s.Perplexity) }},
	{"unlikely text", func(s *Summary) string {
		if s.TextGuard == nil {
			return ""
		}
		return percent(*s.TextGuard)
	}},
	{"distinct-1", func(s *Summary) string { return fmt.Sprintf("%.2f", s.Distinct1) }},
	{"distinct-2", func(s *Summary) string { return fmt.Sprintf("%.2f", s.Distinct2) }},
	{"repeated", func(s *Summary) string { return percent(s.RepeatedSentences) }},
	{"refusals", func(s *Summary) string { return percent(s.Refusals) }},
	{"cut off", func(s *Summary) string { return percent(s.CutOff) }},
}

var costColumns = []column{
	{"rejections/token", func(s *Summary) string { return fmt.Sprintf("%.2f", s.Rejections) }},
	{"forwards/token", func(s *Summary) string { return fmt.Sprintf("%.2f", s.Forwards) }},
	{"forwards/reply", func(s *Summary) string { return fmt.Sprintf("%.0f", s.Cost.Forwards) }},
	{"prompt tokens/reply", func(s *Summary) string { return fmt.Sprintf("%.0f", s.Cost.Prompt) }},
	{"tokens/s", func(s *Summary) string { return fmt.Sprintf("%.0f", s.TokensPerSecond) }},
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

func (t table) write(w io.Writer, rows []Summary, style Style) {
	out := tablewriter.NewWriter(w)
	out.SetAutoFormatHeaders(false)
	out.SetAutoWrapText(false)
	out.SetAlignment(tablewriter.ALIGN_LEFT)
	out.SetHeaderAlignment(tablewriter.ALIGN_LEFT)
	if style == Markdown {
		out.SetBorders(tablewriter.Border{Left: true, Right: true})
		out.SetCenterSeparator("|")
	} else {
		out.SetBorder(false)
	}
	head := []string{""}
	for _, c := range t.columns {
		head = append(head, c.head)
	}
	out.SetHeader(head)
	for i := range rows {
		if t.only != nil && !t.only(rows[i]) {
			continue
		}
		line := []string{rows[i].Policy}
		for _, c := range t.columns {
			line = append(line, c.cell(&rows[i]))
		}
		out.Append(line)
	}
	out.Render()
}

func (e *Evaluation) writeEqual(w io.Writer) {
	if e.EqualN != nil {
		fmt.Fprintf(w, "best-of-n equals the proxy at n = %s\n%s\n\n", e.EqualN, e.EqualN.costs())
	}
	if e.EqualN2 != nil {
		fmt.Fprintf(w, "by the second reward, best-of-n equals the proxy at n = %s\n%s\n\n", e.EqualN2, e.EqualN2.costs())
	}
}

// costs says what a reply takes either way.
func (e EqualN) costs() string {
	n := float64(e.Largest)
	if e.N != nil {
		n = *e.N
	}
	return fmt.Sprintf("forwards a reply: best of %.1f %.0f and %.0f for the prompt, proxy %.0f and %.0f for the prompt",
		n, e.BestOf.Forwards, e.BestOf.Prompt, e.Proxy.Forwards, e.Proxy.Prompt)
}

// WriteSamples writes the replies to a few prompts, for people.
func (e *Evaluation) WriteSamples(w io.Writer) {
	for _, one := range e.Samples {
		fmt.Fprintf(w, "%s\n", one.Prompt)
		for i, reply := range one.Replies {
			fmt.Fprintf(w, "  %-13s %+.2f  %q\n", e.Summaries[i].Policy, one.Rewards[i], strings.TrimSpace(reply))
		}
		fmt.Fprintln(w)
	}
}
