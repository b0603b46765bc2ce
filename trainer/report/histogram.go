package report

import (
	"math"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/plot"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// bins is the number of bins of a distribution of several evaluations.
const bins = 24

// distributions are those of greedy decoding and of the proxy over all evaluations of a group, on edges between low and high;
// nil where none has histograms.
func (g *group) distributions(low, high float64) []plot.Distribution {
	greedy, proxy := newDensity(low, high), newDensity(low, high)
	for _, e := range g.evaluated() {
		greedy.add(e.Greedy().Histogram)
		proxy.add(e.Proxy().Histogram)
	}
	if greedy.total == 0 || proxy.total == 0 {
		return nil
	}
	return []plot.Distribution{greedy.distribution("base greedy"), proxy.distribution("proxy")}
}

// bounds are the outermost edges of all histograms of groups; low is above high if there is none.
func bounds(groups []*group) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, g := range groups {
		for _, e := range g.evaluated() {
			for _, s := range []*eval.Summary{e.Greedy(), e.Proxy()} {
				if h := s.Histogram; h != nil {
					low, high = min(low, h.Edges[0]), max(high, h.Edges[len(h.Edges)-1])
				}
			}
		}
	}
	return low, high
}

// density adds up histograms whose edges differ: what lies in a bin is taken to lie evenly in it.
type density struct {
	edges, count []float64
	total        float64
}

func newDensity(low, high float64) *density {
	d := &density{count: make([]float64, bins)}
	for i := range bins + 1 {
		d.edges = append(d.edges, low+(high-low)*float64(i)/bins)
	}
	return d
}

func (d *density) add(h *stats.Histogram) {
	if h == nil {
		return
	}
	for i, n := range h.Counts {
		from, to := h.Edges[i], h.Edges[i+1]
		for j := range d.count {
			if overlap := min(to, d.edges[j+1]) - max(from, d.edges[j]); overlap > 0 {
				d.count[j] += float64(n) * overlap / (to - from)
			}
		}
		d.total += float64(n)
	}
}

func (d *density) distribution(name string) plot.Distribution {
	out := plot.Distribution{Name: name, Edges: d.edges}
	for _, n := range d.count {
		out.Share = append(out.Share, n/d.total)
	}
	return out
}
