package plot

import (
	"bytes"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// figure is a title and a legend over panels, whose axes are aligned.
type figure struct {
	title  string
	legend []entry
	panels []panel
}

// panel is a plot and its height.
type panel struct {
	*plot.Plot
	height vg.Length
}

func (f figure) height() vg.Length {
	h := headHeight + 2*margin
	for _, p := range f.panels {
		h += p.height
	}
	return h
}

// The font that gonum writes into an SVG, and those with the same widths for a
// browser that lacks it.
const (
	svgFont     = "font-family:Liberation Sans"
	svgFallback = ",Arial,Helvetica,sans-serif"
)

func (f figure) render() (svg, png []byte, err error) { return render(width, f.height(), f.draw) }

// render draws the same on a vector and on a raster canvas.
func render(width, height vg.Length, paint func(draw.Canvas)) (svg, png []byte, err error) {
	vector := vgsvg.New(width, height)
	paint(draw.New(vector))
	raster := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dotsPerInch), vgimg.UseBackgroundColor(color.White))
	paint(draw.New(raster))

	var s, p bytes.Buffer
	if _, err := vector.WriteTo(&s); err != nil {
		return nil, nil, err
	}
	if _, err := (vgimg.PngCanvas{Canvas: raster}).WriteTo(&p); err != nil {
		return nil, nil, err
	}
	return bytes.ReplaceAll(s.Bytes(), []byte(svgFont), []byte(svgFont+svgFallback)), p.Bytes(), nil
}

func (f figure) draw(c draw.Canvas) {
	c = page(c)

	// The panel with the widest labels says where all axes begin.
	areas, offsets, left := make([]draw.Canvas, len(f.panels)), make([]vg.Length, len(f.panels)), vg.Length(0)
	top := c.Max.Y - headHeight
	for i, p := range f.panels {
		areas[i] = c
		areas[i].Max.Y = top
		areas[i].Min.Y = top - p.height
		top = areas[i].Min.Y
		offsets[i] = p.DataCanvas(areas[i]).Min.X - areas[i].Min.X
		left = max(left, offsets[i])
	}
	for i, p := range f.panels {
		p.Draw(draw.Crop(areas[i], left-offsets[i], 0, 0, 0))
	}
	drawHead(draw.Crop(c, left, 0, 0, 0), f.title, f.legend)
}

// page makes the canvas white, since what is behind an SVG may be dark, and leaves the margins off.
func page(c draw.Canvas) draw.Canvas {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	return draw.Crop(c, margin, -2*margin, margin, -margin)
}

// legendRow is the height of a row of the legend. The first is within headHeight.
const legendRow = 1.6 * fontSize

// drawHead draws the title, and under it the legend in rows, where it cannot
// hide a point.
func drawHead(c draw.Canvas, title string, legend []entry) {
	style := plot.New().Title.TextStyle
	style.Font.Variant, style.Font.Size = "Sans", titleSize
	style.XAlign, style.YAlign = draw.XLeft, draw.YTop
	c.FillText(style, vg.Point{X: c.Min.X, Y: c.Max.Y}, title)

	row := c
	row.Max.Y -= 1.8 * titleSize
	for _, entries := range legendRows(legend, c.Max.X-c.Min.X) {
		at := row
		for _, e := range entries {
			l := e.legend()
			l.Draw(at)
			at.Min.X += e.width(l)
		}
		row.Max.Y -= legendRow
	}
}

// legendRows divides a legend so that no row is wider than there is room.
func legendRows(legend []entry, room vg.Length) (rows [][]entry) {
	left := vg.Length(0)
	for _, e := range legend {
		w := e.width(e.legend())
		if len(rows) == 0 || w > left {
			rows, left = append(rows, nil), room
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], e)
		left -= w
	}
	return rows
}

// legend is gonum's for one entry alone.
func (e entry) legend() plot.Legend {
	l := plot.NewLegend()
	l.Left, l.Top = true, true
	l.TextStyle.Font.Variant, l.TextStyle.Font.Size = "Sans", fontSize
	l.Add(e.name, e.icon)
	return l
}

func (e entry) width(l plot.Legend) vg.Length {
	return l.ThumbnailWidth + l.TextStyle.Width(" "+e.name) + 2*fontSize
}
