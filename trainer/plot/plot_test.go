package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func run() []Point {
	var points []Point
	for i := range 6 {
		episode := 64 * (i + 1)
		gain := 1 - math.Exp(-float64(i)/1.5)
		points = append(points, Point{Episode: episode, Reward: -1.1 + gain + .05*math.Sin(float64(7*i)), Perplexity: 3.3 - .5*gain})
		if i%2 == 1 {
			points = append(points, Point{Episode: episode, Reward: -.9 + .85*gain, Perplexity: 2.2 + .1*gain, Validation: true})
		}
	}
	return points
}

func TestRewardCurve(t *testing.T) {
	svg, image, err := RewardCurve(run(), -.91, "direct: no first person")
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("PLOT_TEST_OUT"); dir != "" { // to look at
		if err := errors.Join(os.WriteFile(dir+"/curve.svg", svg, 0o644), os.WriteFile(dir+"/curve.png", image, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"direct: no first person", "mean reward", "perplexity", "episodes (replies trained on)",
		"greedy, no proxy", "training batches (exploring)", "validation (as served)"} {
		if n := strings.Count(words(t, svg), want); n != 1 {
			t.Errorf("the SVG has %q %d times, want once", want, n)
		}
	}
	for _, style := range regexp.MustCompile(`(fill|stroke|font-family):[^;"]*`).FindAllString(string(svg), -1) {
		if !regexp.MustCompile(`:(none|#[0-9A-F]{6}|Liberation Sans,Arial,Helvetica,sans-serif)$`).MatchString(style) {
			t.Errorf("the SVG has the style %s, which browsers do not know", style)
		}
	}
	decoded, err := png.Decode(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	if b := decoded.Bounds(); b.Dx() != 1008 || b.Dy() != 791 {
		t.Errorf("the image has %d by %d pixels, want 1008 by 791", b.Dx(), b.Dy())
	}
}

// words returns the text of an SVG, and fails where it is not XML.
func words(t *testing.T, svg []byte) string {
	t.Helper()
	var out strings.Builder
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := token.(xml.CharData); ok {
			out.Write(text)
		}
	}
}

func TestRewardCurveDrawsWhatThereIs(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name    string
		points  []Point
		greedy  float64
		present []string
		absent  []string
	}{
		{"no perplexity", []Point{{Episode: 64, Reward: 1}, {Episode: 128, Reward: 2}}, 0,
			[]string{"training batches", "greedy", "episodes"}, []string{"perplexity", "validation"}},
		{"no greedy", run(), nan, []string{"perplexity"}, []string{"greedy"}},
		{"validations only", []Point{{Episode: 0, Reward: 1, Validation: true}}, nan,
			[]string{"validation"}, []string{"training"}},
		{"one point", []Point{{Episode: 64, Reward: 1, Perplexity: 2}}, 1, []string{"training", "perplexity"}, nil},
		{"a title of XML", run(), nan, []string{"a < b & c"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			svg, image, err := RewardCurve(c.points, c.greedy, "a < b & c")
			if err != nil || len(image) == 0 {
				t.Fatalf("%d bytes of PNG, %v", len(image), err)
			}
			text := words(t, svg)
			for _, want := range c.present {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing in %q", want, text)
				}
			}
			for _, not := range c.absent {
				if strings.Contains(text, not) {
					t.Errorf("%q is in %q", not, text)
				}
			}
		})
	}
}

func TestRewardCurveDoesNotMindTheOrder(t *testing.T) {
	points := run()
	points[0], points[3] = points[3], points[0]
	before := append([]Point(nil), points...)
	got, _, err := RewardCurve(points, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := RewardCurve(run(), 0, "")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("another order of points is another figure")
	}
	if diff := cmp.Diff(before, points); diff != "" {
		t.Errorf("the argument was changed:\n%s", diff)
	}
}

func TestRewardCurveRefuses(t *testing.T) {
	for want, points := range map[string][]Point{
		"no points":                                 nil,
		"reward of point 2 (episode 64) is NaN":     {{Episode: 1}, {Episode: 64, Reward: math.NaN()}},
		"perplexity of point 1 (episode 3) is +Inf": {{Episode: 3, Perplexity: math.Inf(1)}},
	} {
		if _, _, err := RewardCurve(points, 0, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	if _, _, err := RewardCurve(run(), math.Inf(1), ""); err == nil || !strings.Contains(err.Error(), "greedy decoding is +Inf") {
		t.Errorf("an infinite greedy reward: %v", err)
	}
}

// A label says where its tick is.
func TestTickLabels(t *testing.T) {
	for _, span := range [][2]float64{{2.21, 2.55}, {-1.6, -0.1}, {0, 1}, {64, 384}, {0, 20000}, {-0.003, 0.001}} {
		ticks := labelledTicks{}.Ticks(span[0], span[1])
		if len(ticks) < 2 {
			t.Errorf("%v: %d ticks", span, len(ticks))
		}
		for _, tick := range ticks {
			said, err := strconv.ParseFloat(tick.Label, 64)
			if err != nil || math.Abs(said-tick.Value) > 1e-5*(span[1]-span[0]) {
				t.Errorf("%v: the tick at %v says %q", span, tick.Value, tick.Label)
			}
		}
	}
}
