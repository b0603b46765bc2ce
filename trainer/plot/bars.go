package plot

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Bar is one value with what it is of.
type Bar struct {
	Name  string
	Value float64
	// Spread is the half length of the line at the bar's end; 0: none.
	Spread float64
	// Group gives bars one colour, and the group an entry in the legend.
	Group string
}

const barsHeight = 2.9 * vg.Inch

// Bars draws values between 0 and 1 beside each other, with the number above each and a dashed line at one half, as SVG and as
// PNG: win rates. It is an error if there is no bar or if a value lies outside.
func Bars(title, label string, bars []Bar) (svg, png []byte, err error) {
	f, err := barFigure(title, label, bars)
	if err != nil {
		return nil, nil, fmt.Errorf("plot: %q: %w", title, err)
	}
	if svg, png, err = f.render(); err != nil {
		return nil, nil, fmt.Errorf("plot: %q: %w", title, err)
	}
	return svg, png, nil
}

func barFigure(title, label string, bars []Bar) (figure, error) {
	if len(bars) == 0 {
		return figure{}, fmt.Errorf("no bars, want at least one")
	}
	p := newPanel(label)
	g := &grid{colours: map[string]color.NRGBA{}}
	var names []string
	for i, b := range bars {
		if !(b.Value >= 0 && b.Value <= 1) || math.IsNaN(b.Spread) || math.IsInf(b.Spread, 0) {
			return figure{}, fmt.Errorf("bar %q is %v ± %v, want 0 to 1 and a finite spread", b.Name, b.Value, b.Spread)
		}
		if err := g.addBar(p, i, b); err != nil {
			return figure{}, err
		}
		names = append(names, b.Name)
	}
	if err := g.addLevel(p, Level{Y: 0.5}); err != nil {
		return figure{}, err
	}
	p.NominalX(names...)
	p.X.Tick.Length = 0
	p.X.Min, p.X.Max = -0.6, float64(len(bars))-0.4
	p.Y.Min, p.Y.Max = 0, 1.05
	return figure{title: title, legend: g.legend, panels: []panel{{p, barsHeight}}}, nil
}

func (g *grid) addBar(p *plot.Plot, i int, b Bar) error {
	chart, err := plotter.NewBarChart(plotter.Values{b.Value}, vg.Points(26))
	if err != nil {
		return err
	}
	shade, first := g.colour(b.Group)
	chart.XMin, chart.Color, chart.LineStyle.Width = float64(i), shade, 0
	p.Add(chart)
	at := plotter.XYs{{X: float64(i), Y: b.Value}}
	if b.Spread > 0 {
		line, err := plotter.NewYErrorBars(spread{at, []float64{b.Spread}})
		if err != nil {
			return err
		}
		line.Width = vg.Points(0.8)
		p.Add(line)
	}
	number, err := plotter.NewLabels(plotter.XYLabels{
		XYs:    plotter.XYs{{X: float64(i), Y: b.Value + b.Spread}},
		Labels: []string{fmt.Sprintf("%.2f", b.Value)},
	})
	if err != nil {
		return err
	}
	style := &number.TextStyle[0]
	style.Font.Variant, style.Font.Size = "Sans", fontSize
	style.XAlign = draw.XCenter
	number.Offset = vg.Point{Y: vg.Points(3)}
	p.Add(number)
	if first {
		g.legend = append(g.legend, entry{b.Group, chart})
	}
	return nil
}
