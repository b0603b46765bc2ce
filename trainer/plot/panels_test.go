package plot

import (
	"bytes"
	"image/png"
	"math"
	"os"
	"strings"
	"testing"
)

// show writes a figure where PLOT_TEST_OUT says, to look at.
func show(t *testing.T, name string, svg, png []byte) {
	t.Helper()
	dir := os.Getenv("PLOT_TEST_OUT")
	if dir == "" {
		return
	}
	for suffix, data := range map[string][]byte{".svg": svg, ".png": png} {
		if err := os.WriteFile(dir+"/"+name+suffix, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// fourAndFour is like the paper's figures 4 and 5: distributions above, learning curves below.
func fourAndFour() []Panel {
	var panels []Panel
	titles := []string{"0.25", "0.5", "0.75", "1"}
	for i, title := range titles {
		shift := float64(i)
		var edges, base, ours []float64
		for x := -4.0; x <= 4; x += 0.5 {
			edges = append(edges, x)
		}
		for _, x := range edges[1:] {
			base = append(base, math.Exp(-(x+1)*(x+1))/4)
			ours = append(ours, math.Exp(-(x+1-shift)*(x+1-shift))/4)
		}
		panels = append(panels, Panel{Title: "(" + string(rune('a'+i)) + ") temperature " + title, X: "reward", Y: "share of replies",
			Distributions: []Distribution{{"base greedy", edges, base}, {"proxy", edges, ours}}})
	}
	for i, title := range titles {
		var x, y []float64
		for e := 0; e <= 2000; e += 500 {
			x, y = append(x, float64(e)), append(y, -1+float64(i)*(1-math.Exp(-float64(e)/500)))
		}
		panels = append(panels, Panel{Title: "(" + string(rune('e'+i)) + ") temperature " + title, X: "episodes", Y: "mean reward",
			Lines:  []Line{{Name: "proxy", X: x, Y: y, Faint: true}, {Name: "proxy", X: x, Y: y}},
			Levels: []Level{{"after training", -0.8 + float64(i)}}})
	}
	return panels
}

func TestPanels(t *testing.T) {
	svg, image, err := Panels("Figure 4: temperatures", 4, fourAndFour())
	if err != nil {
		t.Fatal(err)
	}
	show(t, "panels", svg, image)
	text := words(t, svg)
	for want, times := range map[string]int{"Figure 4: temperatures": 1, "base greedy": 1, "after training": 1, "(a) temperature 0.25": 1, "(h) temperature 1": 1, "episodes": 4} {
		if n := strings.Count(text, want); n != times {
			t.Errorf("the SVG has %q %d times, want %d", want, n, times)
		}
	}
	decoded, err := png.Decode(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	if b := decoded.Bounds(); b.Dx() != 4*504 || b.Dy() < 800 || b.Dy() > 900 {
		t.Errorf("the image has %d by %d pixels", b.Dx(), b.Dy())
	}
}

func TestPanelsWithALogarithmicAxis(t *testing.T) {
	pt := []float64{0.0001, 0.001, 0.01, 0.1}
	svg, image, err := Panels("Figure 3a", 2, []Panel{
		{X: "p_t", Y: "mean reward", LogX: true, Marks: pt, Levels: []Level{{"base greedy", -9}},
			Lines: []Line{{Name: "temperature 1", X: pt, Y: []float64{-3, -3.2, -6.7, -10}, Spread: []float64{0.5, 0.2, 0.4, 0.1}}, {Name: "temperature 0.5", X: pt, Y: []float64{-4, -4.2, -7.7, -10}}}},
		{X: "p_t", Y: "perplexity", LogX: true, Marks: pt, Lines: []Line{{Name: "temperature 1", X: pt, Y: []float64{9, 5, 3, 2}}}},
		{X: "alone", Y: "y", Lines: []Line{{X: []float64{1}, Y: []float64{1}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	show(t, "log", svg, image)
	for _, want := range []string{"0.0001", "0.01", "temperature 0.5", "alone"} {
		if !strings.Contains(words(t, svg), want) {
			t.Errorf("the SVG lacks %q", want)
		}
	}
}

// A legend that is too long for a row goes on in the next, and the figure grows by it.
func TestLongLegendsWrap(t *testing.T) {
	height := func(lines int) int {
		p := Panel{}
		for i := range lines {
			p.Lines = append(p.Lines, Line{Name: "a rather long name, number " + string(rune('a'+i)), X: []float64{1, 2}, Y: []float64{1, float64(i)}})
		}
		svg, image, err := Panels("x", 1, []Panel{p})
		if err != nil {
			t.Fatal(err)
		}
		show(t, "legend", svg, image)
		decoded, err := png.Decode(bytes.NewReader(image))
		if err != nil {
			t.Fatal(err)
		}
		return decoded.Bounds().Dy()
	}
	if one, two, three := height(2), height(3), height(6); two != one+32 || three != two+32 {
		t.Errorf("with 1, 2 and 3 rows the heights are %d, %d and %d pixels, want 32 more for each", one, two, three)
	}
}

func TestPanelsRefuse(t *testing.T) {
	one := []float64{1}
	for want, panel := range map[string]Panel{
		"nothing to draw":            {},
		`line "a" has 1 X, 0 Y`:      {Lines: []Line{{Name: "a", X: one}}},
		"a spread of 2":              {Lines: []Line{{X: one, Y: one, Spread: []float64{1, 2}}}},
		"a number is NaN":            {Lines: []Line{{X: one, Y: []float64{math.NaN()}}}},
		"has 1 edges and 1 shares":   {Distributions: []Distribution{{"a", one, one}}},
		"0 on a logarithmic axis":    {LogX: true, Lines: []Line{{X: []float64{0}, Y: one}}},
		"panel 1 (first): a number ": {Title: "first", Lines: []Line{{X: one, Y: one}}, Levels: []Level{{"a", math.Inf(1)}}},
	} {
		if _, _, err := Panels("x", 1, []Panel{panel}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	if _, _, err := Panels("x", 0, fourAndFour()); err == nil {
		t.Error("no columns: no error")
	}
	if _, _, err := Panels("x", 1, nil); err == nil {
		t.Error("no panels: no error")
	}
}

func TestBars(t *testing.T) {
	svg, image, err := Bars("Figure 2b", "win rate", []Bar{
		{"proxy", 0.81, 0.04, "here, by reward"}, {"best of 4", 0.7, 0, "here, by reward"}, {"ours", 0.6324, 0, "the paper, by GPT-4"},
	})
	if err != nil {
		t.Fatal(err)
	}
	show(t, "bars", svg, image)
	text := words(t, svg)
	for _, want := range []string{"0.81", "0.70", "0.63", "best of 4", "here, by reward", "the paper, by GPT-4", "win rate"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the SVG has %q %d times, want once", want, strings.Count(text, want))
		}
	}
	for _, bars := range [][]Bar{nil, {{"a", 1.5, 0, ""}}, {{"a", math.NaN(), 0, ""}}, {{"a", 0.5, math.NaN(), ""}}} {
		if _, _, err := Bars("x", "y", bars); err == nil {
			t.Errorf("%v: no error", bars)
		}
	}
}
