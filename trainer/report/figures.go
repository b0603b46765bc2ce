package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/plot"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// Figure is a drawing with what it shows.
type Figure struct {
	Name     string // of its files, without a suffix
	Caption  string
	SVG, PNG []byte
}

// Words that stand in several figures.
const (
	byReward     = "mean reward"
	greedyName   = "base greedy"
	heldOutName  = "held-out prompts, after training"
	greedyOnWay  = "base greedy on these prompts"
	shareOf      = "share of replies"
	severalSeeds = "Bars are the standard deviation over seeds."
)

// figure2a is the distribution of rewards with the best setting.
func (s *study) figure2a(best *group) (*Figure, error) {
	d := best.distributions(bounds([]*group{best}))
	if d == nil {
		return nil, nil
	}
	f := &Figure{Name: "figure2a", Caption: fmt.Sprintf("Figure 2a: rewards of the replies to the held-out prompts, greedy decoding and %s, all seeds together.", s.label(best))}
	return f.draw("Figure 2a: distribution of rewards", 1, []plot.Panel{{X: "reward", Y: shareOf, Distributions: d}})
}

// figure2b is the win rate over greedy decoding, of the proxy with the best setting and of best-of-n where it was measured.
func (s *study) figure2b(best *group) (*Figure, error) {
	const here, there = "here, by reward", "the paper, by GPT-4"
	bar := func(name string, get func(*eval.Evaluation) float64) plot.Bar {
		mean, deviation := best.mean(get)
		if math.IsNaN(deviation) {
			deviation = 0
		}
		return plot.Bar{Name: name, Value: mean, Spread: deviation, Group: here}
	}
	bars := []plot.Bar{bar("proxy", func(e *eval.Evaluation) float64 { return e.Proxy().WinRate })}
	for i, b := range best.evaluated()[0].BestOf {
		every := !slices.ContainsFunc(best.evaluated(), func(e *eval.Evaluation) bool { return len(e.BestOf) <= i || e.BestOf[i].N != b.N })
		if every {
			bars = append(bars, bar(fmt.Sprintf("best of %d", b.N), func(e *eval.Evaluation) float64 { return e.BestOf[i].WinRate }))
		}
	}
	for _, p := range paperWinRates {
		bars = append(bars, plot.Bar{Name: p.Name, Value: p.Rate, Group: there})
	}
	f := &Figure{Name: "figure2b", Caption: fmt.Sprintf("Figure 2b: share of held-out prompts on which a reply beats greedy decoding's, a tie counting half, with %s. %s %s", s.label(best), severalSeeds, paperNote)}
	var err error
	f.SVG, f.PNG, err = plot.Bars("Figure 2b: win rate against greedy decoding", "win rate", bars)
	return f, err
}

// figure3 is the mean reward for each value of a knob, with the perplexity beside it, since a proxy can buy reward with
// garbled text.
func (s *study) figure3(name, title, key string) (*Figure, error) {
	axis := key[len("proxy."):]
	reward := plot.Panel{X: axis, Y: byReward, LogX: key == knobPT}
	perplexity := plot.Panel{X: axis, Y: "perplexity", LogX: key == knobPT}
	for _, series := range s.along(key) {
		label := s.label(series[0], key)
		if line, ok := curve(label, key, series, proxyReward); ok {
			reward.Lines = append(reward.Lines, line)
		}
		if line, ok := curve(label, key, series, proxyPerplexity); ok {
			perplexity.Lines = append(perplexity.Lines, line)
		}
	}
	if len(reward.Lines) == 0 {
		return nil, nil
	}
	for _, p := range []*plot.Panel{&reward, &perplexity} {
		for _, l := range p.Lines {
			p.Marks = append(p.Marks, l.X...)
		}
		slices.Sort(p.Marks)
		p.Marks = slices.Compact(p.Marks)
		p.LogX = p.LogX && p.Marks[0] > 0
	}
	reward.Levels = []plot.Level{{Name: greedyName, Y: s.greedy()}}
	perplexity.Levels = []plot.Level{{Name: greedyName, Y: s.greedyPerplexity()}}
	f := &Figure{Name: name, Caption: fmt.Sprintf("%s: mean reward of the replies to the held-out prompts after training, and their perplexity. %s", title, severalSeeds)}
	return f.draw(title, 2, []plot.Panel{reward, perplexity})
}

// curve is one line of figure 3; false where fewer than two of its settings were evaluated.
func curve(label, key string, series []*group, get func(*eval.Evaluation) float64) (plot.Line, bool) {
	line := plot.Line{Name: label}
	ascending := slices.SortedFunc(slices.Values(series), func(a, b *group) int { return cmp.Compare(a.number(key), b.number(key)) })
	for _, g := range ascending {
		mean, deviation := g.mean(get)
		if math.IsNaN(mean) {
			continue
		}
		if math.IsNaN(deviation) {
			deviation = 0
		}
		line.X, line.Y, line.Spread = append(line.X, g.number(key)), append(line.Y, mean), append(line.Spread, deviation)
	}
	return line, len(line.X) > 1
}

func (s *study) greedyPerplexity() float64 {
	var xs []float64
	for _, g := range s.groups {
		for _, e := range g.evaluated() {
			xs = append(xs, greedyPerplexity(e))
		}
	}
	return stats.Mean(xs)
}

// figure45 is the paper's Figure 4 (temperature) or 5 (p_t): for each value of a knob, the other knobs as in the setting like,
// the distribution of rewards above and the learning curve below.
func (s *study) figure45(name, title, key string, like *group) (*Figure, error) {
	var series []*group
	for _, one := range s.along(key) {
		if s.label(one[0], key) == s.label(like, key) {
			series = one
		}
	}
	low, high := bounds(series)
	var above, below []plot.Panel
	for _, g := range series {
		of := s.label(g)
		if s.varies(key) {
			of = key[len("proxy."):] + " " + g.values[key]
		}
		if d := g.distributions(low, high); d != nil {
			above = append(above, plot.Panel{Title: of, X: "reward", Y: shareOf, Distributions: d})
		}
		if p, ok := g.learning(of); ok {
			below = append(below, p)
		}
	}
	if len(above) != len(series) {
		above = nil // panels must stand above each other
	}
	if len(below) != len(series) {
		below = nil
	}
	panels := append(above, below...)
	if len(panels) == 0 {
		return nil, nil
	}
	for i := range panels {
		panels[i].Title = fmt.Sprintf("(%c) %s", 'a'+i, panels[i].Title)
	}
	f := &Figure{Name: name, Caption: title + ": "}
	if above != nil {
		f.Caption += "above, rewards of the replies to the held-out prompts after training, all seeds together; below, "
	}
	f.Caption += "mean reward of the replies to the validation prompts while training (thin: each seed, thick: their mean); the dashed lines are greedy decoding on the same prompts, and the held-out prompts after training."
	if other := s.label(like, key); len(s.varied) > 1 {
		f.Caption += " " + other + "."
	}
	return f.draw(title, len(series), panels)
}

// learning is a group's learning curve: thin lines for its seeds, and their mean where all of them were validated.
func (g *group) learning(title string) (plot.Panel, bool) {
	p := plot.Panel{Title: title, X: "episodes", Y: byReward}
	p.Lines = g.progress("proxy", func(v Validation) float64 { return v.Reward })
	if len(p.Lines) == 0 || p.Lines[len(p.Lines)-1].Faint {
		return p, false
	}
	p.Levels = append(p.Levels, plot.Level{Name: greedyOnWay, Y: stats.Mean(onTheWay(g.runs, func(v Validation) float64 { return v.Greedy }))})
	if end, _ := g.mean(proxyReward); !math.IsNaN(end) {
		p.Levels = append(p.Levels, plot.Level{Name: heldOutName, Y: end})
	}
	return p, true
}

// algorithms is what each setting has reached on the validation prompts while training, and the perplexity it cost: where runs
// differ in their algorithm, which the paper's do not.
func (s *study) algorithms() (*Figure, error) {
	panel := func(y string, get, greedy func(Validation) float64) plot.Panel {
		p := plot.Panel{X: "episodes", Y: y}
		var base []float64
		for _, g := range s.groups {
			p.Lines = append(p.Lines, g.progress(s.label(g), get)...)
			base = append(base, onTheWay(g.runs, greedy)...)
		}
		p.Levels = []plot.Level{{Name: greedyOnWay, Y: stats.Mean(base)}}
		return p
	}
	reward := panel(byReward, func(v Validation) float64 { return v.Reward }, func(v Validation) float64 { return v.Greedy })
	if len(reward.Lines) == 0 {
		return nil, nil
	}
	perplexity := panel("perplexity", func(v Validation) float64 { return v.Perplexity }, func(v Validation) float64 { return v.GreedyPerplexity })
	f := &Figure{Name: "algorithms", Caption: "Algorithms: mean reward of the replies to the validation prompts while training, and their perplexity (thin: each seed, thick: their mean). Reward that is bought with perplexity is no gain."}
	return f.draw("Algorithms", 2, []plot.Panel{reward, perplexity})
}

// progress is a group's curve of a figure: thin lines for its seeds, and their mean where all of them were validated.
func (g *group) progress(name string, get func(Validation) float64) (lines []plot.Line) {
	at := map[int][]float64{}
	for _, r := range g.runs {
		line := plot.Line{Name: name, Faint: true}
		for _, v := range r.Validations {
			line.X, line.Y = append(line.X, float64(v.Episodes)), append(line.Y, get(v))
			at[v.Episodes] = append(at[v.Episodes], get(v))
		}
		if len(line.X) > 0 && len(g.runs) > 1 {
			lines = append(lines, line)
		}
	}
	mean := plot.Line{Name: name}
	for _, n := range slices.Sorted(maps.Keys(at)) {
		if len(at[n]) == len(g.runs) {
			mean.X, mean.Y = append(mean.X, float64(n)), append(mean.Y, stats.Mean(at[n]))
		}
	}
	if len(mean.X) > 0 {
		lines = append(lines, mean)
	}
	return lines
}

// onTheWay is a figure of all validations of some runs.
func onTheWay(runs []*Run, get func(Validation) float64) (xs []float64) {
	for _, r := range runs {
		for _, v := range r.Validations {
			xs = append(xs, get(v))
		}
	}
	return xs
}

func (f *Figure) draw(title string, columns int, panels []plot.Panel) (*Figure, error) {
	var err error
	f.SVG, f.PNG, err = plot.Panels(title, columns, panels)
	return f, err
}
