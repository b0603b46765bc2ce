// Package plot draws what a training run did, for a README and for reports.
//
// It is not for computing anything (see trainer/stats), for dashboards or for
// other kinds of plots than it has: each function draws one figure, which looks
// the same for every run.
//
// Functions keep nothing and may be called from several goroutines at once.
package plot

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Point is one measurement on the way.
type Point struct {
	Episode int     // replies trained on until then
	Reward  float64 // mean reward of the replies measured
	// Perplexity of these replies under the base model; 0: not measured.
	Perplexity float64
	// Validation says that the replies are those of the proxy as it is served, to
	// the validation prompts, and not those of an update's batch.
	Validation bool
}

// Size of a figure. The image has 144 pixels an inch.
const (
	width         = 7 * vg.Inch
	headHeight    = 0.65 * vg.Inch // title and legend
	rewardHeight  = 2.9 * vg.Inch
	perplexHeight = 1.7 * vg.Inch
	margin        = 0.12 * vg.Inch
	dotsPerInch   = 144

	fontSize  = vg.Length(10) // points
	titleSize = vg.Length(12)
)

// Colours that stay apart for the colour-blind (Okabe and Ito 2008).
var (
	blue   = color.NRGBA{0x00, 0x72, 0xb2, 0xff}
	orange = color.NRGBA{0xd5, 0x5e, 0x00, 0xff}
	grey   = color.NRGBA{0x60, 0x60, 0x60, 0xff}
	faint  = color.NRGBA{0xe4, 0xe4, 0xe4, 0xff}
)

// RewardCurve draws the mean reward against episodes, as SVG and as PNG: a line
// for the batches, dots for validations, and a dashed line for the reward of
// greedy decoding without a proxy (NaN: none). Where a perplexity was measured,
// a second panel below shows it on the same axis, because a proxy can buy reward
// with garbled text.
//
// Points may come in any order. It is an error if there is none, or if a number
// is not finite.
func RewardCurve(points []Point, greedy float64, title string) (svg, png []byte, err error) {
	if err := check(points, greedy); err != nil {
		return nil, nil, fmt.Errorf("plot: reward curve: %w", err)
	}
	points = slices.Clone(points)
	slices.SortStableFunc(points, func(a, b Point) int { return a.Episode - b.Episode })
	f, err := rewardFigure(points, greedy)
	if err != nil {
		return nil, nil, fmt.Errorf("plot: reward curve: %w", err)
	}
	f.title = title
	if svg, png, err = f.render(); err != nil {
		return nil, nil, fmt.Errorf("plot: reward curve: %w", err)
	}
	return svg, png, nil
}

func check(points []Point, greedy float64) error {
	if len(points) == 0 {
		return fmt.Errorf("no points, want at least one: has the run logged an update?")
	}
	for i, p := range points {
		for name, x := range map[string]float64{"reward": p.Reward, "perplexity": p.Perplexity} {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("%s of point %d (episode %d) is %v, want a finite number", name, i+1, p.Episode, x)
			}
		}
	}
	if math.IsInf(greedy, 0) {
		return fmt.Errorf("reward of greedy decoding is %v, want a finite number, or NaN for none", greedy)
	}
	return nil
}

// rewardFigure expects points in ascending order.
func rewardFigure(points []Point, greedy float64) (figure, error) {
	reward := newPanel("mean reward")
	f := figure{panels: []panel{{reward, rewardHeight}}}
	value := func(p Point) (float64, bool) { return p.Reward, true }
	var err error
	if f.legend, err = addSeries(reward, points, value); err != nil {
		return figure{}, err
	}
	if !math.IsNaN(greedy) {
		level, err := addLevel(reward, points, greedy)
		if err != nil {
			return figure{}, err
		}
		f.legend = append(f.legend, entry{"greedy, no proxy", level})
	}
	measured := func(p Point) (float64, bool) { return p.Perplexity, p.Perplexity > 0 }
	if slices.ContainsFunc(points, func(p Point) bool { return p.Perplexity > 0 }) {
		perplexity := newPanel("perplexity")
		if _, err := addSeries(perplexity, points, measured); err != nil {
			return figure{}, err
		}
		reward.X.Tick.Marker = blankTicks{} // the labels below are for both
		f.panels = append(f.panels, panel{perplexity, perplexHeight})
	}
	for _, p := range f.panels {
		p.X.Min, p.X.Max = float64(min(points[0].Episode, 0)), float64(points[len(points)-1].Episode)
		if p.X.Min == p.X.Max {
			p.X.Max++
		}
		room := 0.04 * (p.Y.Max - p.Y.Min)
		p.Y.Min, p.Y.Max = p.Y.Min-room, p.Y.Max+room
	}
	f.panels[len(f.panels)-1].X.Label.Text = "episodes (replies trained on)"
	return f, nil
}

func newPanel(label string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Y.Label.Text = label
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		for _, style := range []*text.Style{&axis.Label.TextStyle, &axis.Tick.Label} {
			style.Font.Variant, style.Font.Size = "Sans", fontSize
		}
		axis.Label.Padding = 2 * vg.Millimeter
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = grey, grey
		axis.Tick.Length = vg.Points(4)
		axis.Tick.Marker = labelledTicks{}
		axis.Padding = 0
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color, grid.Horizontal.Dashes = faint, nil
	p.Add(grid)
	return p
}

// labelledTicks are gonum's, without those between the labels, and with labels that say where they are: gonum rounds 2.25 to 2.2.
type labelledTicks struct{}

func (labelledTicks) Ticks(low, high float64) []plot.Tick {
	ticks := slices.DeleteFunc(plot.DefaultTicks{}.Ticks(low, high), plot.Tick.IsMinor)
	for i, t := range ticks {
		ticks[i].Label = strconv.FormatFloat(t.Value, 'g', 6, 64)
	}
	return ticks
}

// blankTicks are labelledTicks with blank labels.
type blankTicks struct{}

func (blankTicks) Ticks(low, high float64) []plot.Tick {
	ticks := labelledTicks{}.Ticks(low, high)
	for i := range ticks {
		ticks[i].Label = " "
	}
	return ticks
}

// entry is a line of the legend.
type entry struct {
	name string
	icon plot.Thumbnailer
}

// addSeries draws the batches as a line and the validations as dots.
func addSeries(p *plot.Plot, points []Point, value func(Point) (float64, bool)) ([]entry, error) {
	var batches, validations plotter.XYs
	for _, point := range points {
		y, ok := value(point)
		switch at := (plotter.XY{X: float64(point.Episode), Y: y}); {
		case !ok:
		case point.Validation:
			validations = append(validations, at)
		default:
			batches = append(batches, at)
		}
	}
	var legend []entry
	if len(batches) > 0 {
		line, dots, err := plotter.NewLinePoints(batches)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = blue, vg.Points(1.5)
		dots.Shape, dots.Color, dots.Radius = draw.CircleGlyph{}, blue, vg.Points(1.5)
		p.Add(line, dots)
		legend = append(legend, entry{"training batches (exploring)", line})
	}
	if len(validations) > 0 {
		dots, err := plotter.NewScatter(validations)
		if err != nil {
			return nil, err
		}
		dots.Shape, dots.Color, dots.Radius = draw.CircleGlyph{}, orange, vg.Points(4)
		p.Add(dots)
		legend = append(legend, entry{"validation (as served)", dots})
	}
	return legend, nil
}

// addLevel draws a dashed line across.
func addLevel(p *plot.Plot, points []Point, level float64) (plot.Thumbnailer, error) {
	first, last := points[0].Episode, points[len(points)-1].Episode
	line, err := plotter.NewLine(plotter.XYs{{X: float64(min(first, 0)), Y: level}, {X: float64(last), Y: level}})
	if err != nil {
		return nil, err
	}
	line.Color, line.Width = grey, vg.Points(1)
	line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	p.Add(line)
	return line, nil
}
