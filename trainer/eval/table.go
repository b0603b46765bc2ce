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
}

type column struct {
	head string
	cell func(s *Summary) string
}

func (e *Evaluation) tables() []table {
	tables := []table{{titled("reward", e.Reward), scoreColumns(func(s *Summary) *Score { return &s.Score })}}
	if e.Summaries[0].Second != nil {
		tables = append(tables, table{
			title:   titled("second reward, which nothing is chosen by", e.Reward2),
			columns: scoreColumns(func(s *Summary) *Score { return s.Second }),
		})
	}
	if slices.ContainsFunc(e.rows(), func(s Summary) bool { return s.Judge != nil }) {
		tables = append(tables, table{titled("judge", e.Judge), judgeColumns})
	}
	return append(tables, table{"text", textColumns}, table{"cost", costColumns})
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

var judgeColumns = []column{
	{"win rate [95 %]", judged(func(j *Judgement) string {
		if j.Wins+j.Ties+j.Losses == 0 {
			return "none judged"
		}
		return j.WinRate.String()
	})},
	{"wins", judged(func(j *Judgement) string { return fmt.Sprint(j.Wins) })},
	{"ties", judged(func(j *Judgement) string { return fmt.Sprint(j.Ties) })},
	{"losses", judged(func(j *Judgement) string { return fmt.Sprint(j.Losses) })},
	{"ties for the place", judged(func(j *Judgement) string { return fmt.Sprint(j.Flips) })},
	{"refused by the judge", judged(func(j *Judgement) string { return fmt.Sprint(j.Refusals) })},
}

// judged is empty in rows that no judge has seen.
func judged(cell func(j *Judgement) string) func(*Summary) string {
	return func(s *Summary) string {
		if s.Judge == nil {
			return ""
		}
		return cell(s.Judge)
	}
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
	at := "at that n"
	if e.N == nil {
		at = fmt.Sprintf("at n = %d", e.Largest)
	}
	return fmt.Sprintf("forwards a reply, and of its prompt: best-of-n %s %.0f and %.0f, proxy %.0f and %.0f",
		at, e.BestOf.Forwards, e.BestOf.Prompt, e.Proxy.Forwards, e.Proxy.Prompt)
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
