package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"regexp"
	"strings"
)

// Page and Tables are the names of a report's files beside the figures.
const (
	Page   = "report.html"
	Tables = "tables.md"
)

// Build makes the files of a report of runs, by name: the page, the tables as Markdown, and each figure as .svg and as .png.
// Equal runs give equal files.
func Build(runs []Run) (map[string][]byte, error) {
	if len(runs) == 0 {
		return nil, fmt.Errorf("report: no runs, want at least one")
	}
	s := newStudy(runs)
	figures, missing, err := s.figures()
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	tables := []*table{s.settings(), s.table2(), &paperTable2}
	files := map[string][]byte{}
	for _, f := range figures {
		files[f.Name+".svg"], files[f.Name+".png"] = f.SVG, f.PNG
	}
	var markdown []string
	for _, t := range tables {
		markdown = append(markdown, t.markdown())
	}
	files[Tables] = []byte(strings.Join(append(markdown, paperNote+"\n"), "\n"))
	if files[Page], err = s.page(tables, figures, missing); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return files, nil
}

// figures are those that there are numbers for, in the order of the paper, and the algorithms'; missing says which there are not, and why.
func (s *study) figures() (figures []*Figure, missing []string, err error) {
	add := func(f *Figure, failed error, why string) {
		switch {
		case failed != nil:
			err = failed
		case f == nil:
			missing = append(missing, why)
		default:
			figures = append(figures, f)
		}
	}
	like := s.best()
	if like == nil {
		like = s.groups[0]
		missing = append(missing, "Figures 2 and 3: no run was evaluated on held-out prompts")
	} else {
		f, failed := s.figure2a(like)
		add(f, failed, "Figure 2a, and the distributions of Figures 4 and 5: the evaluations have no histograms")
		f, failed = s.figure2b(like)
		add(f, failed, "")
		for _, knob := range []struct{ name, title, key string }{
			{"figure3a", "Figure 3a: p_t", knobPT}, {"figure3b", "Figure 3b: temperature", knobTemperature},
		} {
			if s.varies(knob.key) {
				f, failed = s.figure3(knob.name, knob.title, knob.key)
				add(f, failed, knob.title+": fewer than two values were evaluated")
			} else {
				missing = append(missing, knob.title+": all runs have the same")
			}
		}
	}
	f, failed := s.figure45("figure4", "Figure 4: temperature", knobTemperature, like)
	add(f, failed, "Figure 4: a run was not validated")
	if s.varies(knobPT) {
		f, failed = s.figure45("figure5", "Figure 5: p_t", knobPT, like)
		add(f, failed, "Figure 5: a run was not validated")
	} else {
		missing = append(missing, "Figure 5: all runs have the same p_t")
	}
	if s.varies(knobAlgorithm) {
		f, failed = s.algorithms()
		add(f, failed, "Algorithms: no run was validated")
	}
	return figures, missing, err
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New(Page).Parse(pageText))

// prologue is what an SVG file has before the element.
var prologue = regexp.MustCompile(`(?s)^.*?<svg`)

// page puts everything into one file, figures as the SVG that they are.
func (s *study) page(tables []*table, figures []*Figure, missing []string) ([]byte, error) {
	type drawing struct {
		Caption string
		SVG     template.HTML
	}
	first := &s.runs[0].Config
	data := struct {
		Model, Reward, Note string
		Runs                int
		Tables              []*table
		Figures             []drawing
		Missing             []string
	}{Model: first.Model, Reward: first.Reward.Type, Note: paperNote, Runs: len(s.runs), Tables: tables, Missing: missing}
	for _, f := range figures {
		svg := prologue.ReplaceAllLiteral(f.SVG, []byte("<svg"))
		data.Figures = append(data.Figures, drawing{f.Caption, template.HTML(svg)}) // ours, not the reader's
	}
	var out bytes.Buffer
	err := pageTemplate.Execute(&out, data)
	return out.Bytes(), err
}
