package plot

import (
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Panel is one plot of a figure of several: lines, outlines of distributions, and a level. Things of one name have one colour
// in all panels and one entry in the figure's legend; a name of "" has the colour grey and no entry.
type Panel struct {
	Title string // such as "(a) temperature 0.25"
	X, Y  string // labels of the axes
	// LogX puts X on a logarithmic scale; all of it must be above 0.
	LogX bool
	// Marks are the places on the X axis that are labelled; nil leaves that to the drawing.
	Marks         []float64
	Lines         []Line
	Distributions []Distribution
	// Levels are dashed horizontal lines.
	Levels []Level
}

// Line goes through points, which come in ascending order of X.
type Line struct {
	Name string
	X, Y []float64
	// Spread, if not nil, has the half length of a bar at each point.
	Spread []float64
	// Faint draws it thin and pale, as one of several that a mean is of.
	Faint bool
}

// Distribution is a histogram: Share[i] of all lies between Edges[i] and Edges[i+1].
type Distribution struct {
	Name  string
	Edges []float64
	Share []float64
}

// Level is a value to compare with.
type Level struct {
	Name string
	Y    float64
}

// Size of a figure of panels.
const (
	panelWidth  = 3.5 * vg.Inch
	panelHeight = 2.5 * vg.Inch
	titleRoom   = 0.1 * vg.Inch // between rows
)

// palette is Okabe's and Ito's, which the colour-blind can tell apart, in an order of contrast.
var palette = []color.NRGBA{
	blue, orange, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff}, {0x56, 0xb4, 0xe9, 0xff}, {0xe6, 0x9f, 0x00, 0xff}, {0x20, 0x20, 0x20, 0xff},
}

// Panels draws panels in rows of so many columns under a title, as SVG and as PNG. Panels of a row share their Y axis where
// they have the same label, so that they can be compared. It is an error if there is none, if a number is not finite, or if
// what belongs together differs in length.
func Panels(title string, columns int, panels []Panel) (svg, png []byte, err error) {
	f, err := newGrid(title, columns, panels)
	if err != nil {
		return nil, nil, fmt.Errorf("plot: %q: %w", title, err)
	}
	svg, png, err = render(f.width(), f.height(), f.draw)
	if err != nil {
		return nil, nil, fmt.Errorf("plot: %q: %w", title, err)
	}
	return svg, png, nil
}

// grid is a figure of panels in rows and columns.
type grid struct {
	title   string
	legend  []entry
	columns int
	rows    [][]*plot.Plot
	colours map[string]color.NRGBA
}

func newGrid(title string, columns int, panels []Panel) (*grid, error) {
	if columns < 1 || len(panels) == 0 {
		return nil, fmt.Errorf("%d panels in %d columns, want at least one in one", len(panels), columns)
	}
	g := &grid{title: title, columns: columns, colours: map[string]color.NRGBA{}}
	for i := range panels {
		p := &panels[i]
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("panel %d (%s): %w", i+1, p.Title, err)
		}
		drawn, err := g.panel(p)
		if err != nil {
			return nil, fmt.Errorf("panel %d (%s): %w", i+1, p.Title, err)
		}
		if i%columns == 0 {
			g.rows = append(g.rows, make([]*plot.Plot, columns))
		}
		g.rows[len(g.rows)-1][i%columns] = drawn
	}
	for _, row := range g.rows {
		shareAxes(row)
	}
	return g, nil
}

func (p *Panel) check() error {
	var xs, ys []float64
	for _, l := range p.Lines {
		if len(l.X) != len(l.Y) || len(l.X) == 0 || l.Spread != nil && len(l.Spread) != len(l.X) {
			return fmt.Errorf("line %q has %d X, %d Y and a spread of %d, want as many of each", l.Name, len(l.X), len(l.Y), len(l.Spread))
		}
		xs, ys = append(xs, l.X...), append(append(ys, l.Y...), l.Spread...)
	}
	for _, d := range p.Distributions {
		if len(d.Edges) != len(d.Share)+1 || len(d.Share) == 0 {
			return fmt.Errorf("distribution %q has %d edges and %d shares, want one more", d.Name, len(d.Edges), len(d.Share))
		}
		xs, ys = append(xs, d.Edges...), append(ys, d.Share...)
	}
	for _, l := range p.Levels {
		ys = append(ys, l.Y)
	}
	if len(xs) == 0 {
		return fmt.Errorf("nothing to draw")
	}
	for _, v := range append(append(xs, ys...), p.Marks...) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("a number is %v, want finite ones", v)
		}
	}
	if p.LogX {
		for _, x := range append(xs, p.Marks...) {
			if x <= 0 {
				return fmt.Errorf("%v on a logarithmic axis, want more than 0", x)
			}
		}
	}
	return nil
}

// panel draws one. Its legend's entries are those that no panel before had.
func (g *grid) panel(p *Panel) (*plot.Plot, error) {
	out := newPanel(p.Y)
	out.X.Label.Text = p.X
	out.Title.Text = p.Title
	out.Title.TextStyle.Font.Variant, out.Title.TextStyle.Font.Size = "Sans", fontSize
	if p.LogX {
		out.X.Scale = plot.LogScale{}
	}
	if p.Marks != nil {
		var ticks plot.ConstantTicks
		for _, x := range p.Marks {
			ticks = append(ticks, plot.Tick{Value: x, Label: strconv.FormatFloat(x, 'g', 4, 64)})
		}
		out.X.Tick.Marker = ticks
	}
	for _, d := range p.Distributions {
		if err := g.addDistribution(out, d); err != nil {
			return nil, err
		}
	}
	for _, l := range p.Lines {
		if err := g.addLine(out, l); err != nil {
			return nil, err
		}
	}
	for _, l := range p.Levels {
		if err := g.addLevel(out, l); err != nil {
			return nil, err
		}
	}
	room(&out.Y, 0.05)
	if p.LogX {
		// A margin, so that bars and dots at the ends are whole.
		out.X.Min, out.X.Max = out.X.Min/1.6, out.X.Max*1.6
	} else {
		room(&out.X, 0.04)
	}
	return out, nil
}

// room widens an axis by a share on both sides, and an axis of one value by a half.
func room(a *plot.Axis, share float64) {
	by := share * (a.Max - a.Min)
	if by <= 0 {
		by = 0.5
	}
	a.Min, a.Max = a.Min-by, a.Max+by
}

// colour is the name's, and whether it is seen for the first time.
func (g *grid) colour(name string) (c color.NRGBA, first bool) {
	if name == "" {
		return grey, false
	}
	c, seen := g.colours[name]
	if !seen {
		c = palette[len(g.colours)%len(palette)]
		g.colours[name] = c
	}
	return c, !seen
}

func (g *grid) addLine(p *plot.Plot, l Line) error {
	points := make(plotter.XYs, len(l.X))
	for i := range points {
		points[i] = plotter.XY{X: l.X[i], Y: l.Y[i]}
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	c, first := g.colour(l.Name)
	line.Color, line.Width = c, vg.Points(1.5)
	dots.Shape, dots.Color, dots.Radius = draw.CircleGlyph{}, c, vg.Points(2.5)
	if l.Faint {
		line.Color, line.Width = pale(c), vg.Points(0.8)
		p.Add(line)
	} else {
		p.Add(line, dots)
	}
	if l.Spread != nil {
		bars, err := plotter.NewYErrorBars(spread{points, l.Spread})
		if err != nil {
			return err
		}
		bars.Color, bars.Width = c, vg.Points(0.8)
		p.Add(bars)
	}
	if first {
		shown := *line
		shown.Color, shown.Width = c, vg.Points(1.5)
		g.legend = append(g.legend, entry{l.Name, &shown})
	}
	return nil
}

// spread is points with the half lengths of their bars.
type spread struct {
	plotter.XYs
	half []float64
}

func (s spread) YError(i int) (low, high float64) { return s.half[i], s.half[i] }

// pale is a colour mixed with white.
func pale(c color.NRGBA) color.NRGBA {
	mix := func(v uint8) uint8 { return uint8((int(v) + 2*0xff) / 3) }
	return color.NRGBA{mix(c.R), mix(c.G), mix(c.B), 0xff}
}

func (g *grid) addDistribution(p *plot.Plot, d Distribution) error {
	outline := plotter.XYs{{X: d.Edges[0]}}
	for i, share := range d.Share {
		outline = append(outline, plotter.XY{X: d.Edges[i], Y: share}, plotter.XY{X: d.Edges[i+1], Y: share})
	}
	outline = append(outline, plotter.XY{X: d.Edges[len(d.Edges)-1]})
	line, err := plotter.NewLine(outline)
	if err != nil {
		return err
	}
	c, first := g.colour(d.Name)
	line.Color, line.Width = c, vg.Points(1.2)
	p.Add(line)
	if first {
		g.legend = append(g.legend, entry{d.Name, line})
	}
	return nil
}

func (g *grid) addLevel(p *plot.Plot, l Level) error {
	c, first := g.colour(l.Name)
	line := plotter.NewFunction(func(float64) float64 { return l.Y })
	line.Color, line.Width = c, vg.Points(1)
	line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	p.Add(line)
	p.Y.Min, p.Y.Max = min(p.Y.Min, l.Y), max(p.Y.Max, l.Y)
	if first {
		g.legend = append(g.legend, entry{l.Name, line})
	}
	return nil
}

// shareAxes gives the panels of a row that have one label one Y axis, and those of them with one X label one X axis.
func shareAxes(row []*plot.Plot) {
	for _, axis := range []func(*plot.Plot) *plot.Axis{func(p *plot.Plot) *plot.Axis { return &p.Y }, func(p *plot.Plot) *plot.Axis { return &p.X }} {
		low, high := map[string]float64{}, map[string]float64{}
		for _, p := range row {
			if p == nil {
				continue
			}
			a := axis(p)
			if _, ok := low[a.Label.Text]; !ok {
				low[a.Label.Text], high[a.Label.Text] = a.Min, a.Max
			}
			low[a.Label.Text], high[a.Label.Text] = min(low[a.Label.Text], a.Min), max(high[a.Label.Text], a.Max)
		}
		for _, p := range row {
			if p != nil {
				a := axis(p)
				a.Min, a.Max = low[a.Label.Text], high[a.Label.Text]
			}
		}
	}
}

func (g *grid) width() vg.Length { return max(vg.Length(g.columns)*panelWidth, width) }

// head is the height of title and legend.
func (g *grid) head() vg.Length {
	rows := len(legendRows(g.legend, g.width()-3*margin))
	return headHeight + vg.Length(max(rows-1, 0))*legendRow
}

func (g *grid) height() vg.Length { return g.head() + 2*margin + vg.Length(len(g.rows))*panelHeight }

func (g *grid) draw(c draw.Canvas) {
	c = page(c)
	body := c
	body.Max.Y -= g.head()
	tiles := draw.Tiles{Rows: len(g.rows), Cols: g.columns, PadX: 2 * margin, PadY: titleRoom}
	for r, row := range plot.Align(g.rows, tiles, body) {
		for i, at := range row {
			if p := g.rows[r][i]; p != nil {
				p.Draw(at)
			}
		}
	}
	drawHead(c, g.title, g.legend)
}
