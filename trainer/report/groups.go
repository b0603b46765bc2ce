package report

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/stats"
)

// The knobs that the paper varies.
const (
	knobPT          = "proxy.p_t"
	knobTemperature = "proxy.temperature"
	knobEpisodes    = "episodes"
)

// knobAlgorithm is one that it does not.
const knobAlgorithm = "algorithm"

// notSettings are knobs that say where a run is, or by which seed: runs that differ in these alone are of one setting.
var notSettings = regexp.MustCompile(`^(name|run|seed|model_file|ollama\..*|sweep\..*|eval\..*)$`)

// group is the runs of one setting, one for each seed.
type group struct {
	// values has the knobs in which settings differ, as flags write them.
	values map[string]string
	runs   []*Run
}

// study is all runs, by setting.
type study struct {
	runs   []Run
	varied []string // knobs in which settings differ, in order
	groups []*group // by the values of varied: numbers ascending, but p_t descending as in the paper's tables
}

func newStudy(runs []Run) *study {
	s := &study{runs: runs}
	texts := make([]map[string]string, len(runs))
	for i := range runs {
		texts[i] = runs[i].Config.Texts()
	}
	for key := range texts[0] {
		seen := map[string]bool{}
		for i := range runs {
			if uses(runs[i].Config.Algorithm, key) {
				seen[texts[i][key]] = true
			}
		}
		if len(seen) > 1 && !notSettings.MatchString(key) {
			s.varied = append(s.varied, key)
		}
	}
	slices.SortFunc(s.varied, func(a, b string) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a, b)) })
	for i := range runs {
		values := map[string]string{}
		for _, key := range s.varied {
			if uses(runs[i].Config.Algorithm, key) {
				values[key] = texts[i][key]
			}
		}
		at := slices.IndexFunc(s.groups, func(g *group) bool { return s.compare(g.values, values) == 0 })
		if at < 0 {
			at = len(s.groups)
			s.groups = append(s.groups, &group{values: values})
		}
		s.groups[at].runs = append(s.groups[at].runs, &runs[i])
	}
	slices.SortStableFunc(s.groups, func(a, b *group) int { return s.compare(a.values, b.values) })
	return s
}

// uses reports whether a knob means anything with an algorithm: those of another one do not.
func uses(algorithm, key string) bool {
	section, _, _ := strings.Cut(key, ".")
	return section == algorithm || section != config.PPO && section != config.SAC
}

// rank puts the paper's knobs first.
func rank(key string) int {
	if i := slices.Index([]string{knobPT, knobTemperature}, key); i >= 0 {
		return i
	}
	if key == knobEpisodes {
		return 3
	}
	return 2
}

func (s *study) compare(a, b map[string]string) int {
	for _, key := range s.varied {
		c := compareTexts(a[key], b[key])
		if key == knobPT {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// compareTexts compares as numbers what are numbers.
func compareTexts(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

func (s *study) varies(key string) bool { return slices.Contains(s.varied, key) }

// label says which setting a group is, but for some knobs.
func (s *study) label(g *group, but ...string) string {
	var parts []string
	for _, key := range s.varied {
		if value, ok := g.values[key]; ok && !slices.Contains(but, key) {
			parts = append(parts, key[strings.LastIndexByte(key, '.')+1:]+" "+value)
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "proxy")
}

// along divides the groups into series whose settings are the same but for one knob.
func (s *study) along(key string) (series [][]*group) {
	for _, g := range s.groups {
		at := slices.IndexFunc(series, func(one []*group) bool { return s.label(one[0], key) == s.label(g, key) })
		if at < 0 {
			at = len(series)
			series = append(series, nil)
		}
		series[at] = append(series[at], g)
	}
	return series
}

// number is a group's value of a knob.
func (g *group) number(key string) float64 {
	text, ok := g.values[key]
	if !ok {
		text = g.runs[0].Config.Texts()[key]
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return x
}

// evaluated are a group's evaluations.
func (g *group) evaluated() (out []*eval.Evaluation) {
	for _, r := range g.runs {
		if r.Evaluation != nil {
			out = append(out, r.Evaluation)
		}
	}
	return out
}

// mean is of one figure of a group's evaluations, with the deviation of the seeds, which is NaN of fewer than two. Both are NaN
// of a group that was not evaluated.
func (g *group) mean(get func(*eval.Evaluation) float64) (mean, deviation float64) {
	var xs []float64
	for _, e := range g.evaluated() {
		xs = append(xs, get(e))
	}
	return stats.Mean(xs), stats.Deviation(xs)
}

func proxyReward(e *eval.Evaluation) float64      { return e.Proxy().Reward.Mean }
func greedyReward(e *eval.Evaluation) float64     { return e.Greedy().Reward.Mean }
func proxyPerplexity(e *eval.Evaluation) float64  { return e.Proxy().Perplexity }
func greedyPerplexity(e *eval.Evaluation) float64 { return e.Greedy().Perplexity }

// readable is how many times greedy's perplexity a setting's replies may have to be chosen as the best: above, reward is
// bought with garbled text (the paper's Table 4).
const readable = 1.5

// best is the setting with the highest reward on held-out prompts among the readable ones, or among all if none is; nil if
// none was evaluated.
func (s *study) best() *group {
	var best *group
	for _, must := range []bool{true, false} {
		for _, g := range s.groups {
			reward, _ := g.mean(proxyReward)
			perplexity, _ := g.mean(proxyPerplexity)
			greedy, _ := g.mean(greedyPerplexity)
			if math.IsNaN(reward) || must && perplexity > readable*greedy {
				continue
			}
			if best == nil {
				best = g
			} else if top, _ := best.mean(proxyReward); reward > top {
				best = g
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// greedy is the mean reward of greedy replies to the held-out prompts, over all evaluations; NaN of none.
func (s *study) greedy() float64 {
	var xs []float64
	for _, g := range s.groups {
		for _, e := range g.evaluated() {
			xs = append(xs, greedyReward(e))
		}
	}
	return stats.Mean(xs)
}
