package sweep

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
)

// Cell is one run of a sweep: one combination of the grid's values with one seed.
type Cell struct {
	// Name is the run's folder in the sweep's, such as "p_t=0.01,temperature=0.5,seed=1".
	Name string
	// Values has the text of each of the grid's knobs, by its dotted name.
	Values map[string]string
	// Config is the cell's own: without the grid, and with Name as the folder.
	Config config.Config
}

// Cells returns the runs of c.Sweep in the order in which to do them: all combinations with the first seed, then all with the
// next, so that a sweep that is broken off has every combination as often as any other. Knobs go by their names, values in
// the order of the grid, the last knob's the fastest.
//
// A combination that no run can have is an error that names it, before any is begun.
func Cells(c config.Config) ([]Cell, error) {
	keys := slices.Sorted(maps.Keys(c.Sweep.Grid))
	names := shortNames(keys)
	var cells []Cell
	for i := range max(c.Sweep.Seeds, 1) {
		seed := fmt.Sprint(c.Seed + uint64(i))
		for _, values := range product(c.Sweep.Grid, keys) {
			cell := Cell{Values: values, Config: c}
			cell.Config.Sweep = config.Sweep{}
			var parts []string
			var err error
			for _, key := range keys {
				parts = append(parts, names[key]+"="+fileName(values[key]))
				if cell.Config, err = cell.Config.With(key, values[key]); err != nil {
					return nil, fmt.Errorf("sweep.grid: %w", err)
				}
			}
			cell.Name = strings.Join(append(parts, "seed="+seed), ",")
			if cell.Config, err = cell.Config.With("seed", seed); err != nil {
				return nil, err
			}
			cell.Config.Run = filepath.Join(c.RunFolder(), cell.Name)
			if err := cell.Config.Validate(); err != nil {
				return nil, fmt.Errorf("sweep.grid: cell %s: %w", cell.Name, err)
			}
			cells = append(cells, cell)
		}
	}
	return cells, distinct(cells)
}

// product lists all combinations, the last key's values the fastest.
func product(grid map[string][]string, keys []string) []map[string]string {
	out := []map[string]string{{}}
	for _, key := range keys {
		var longer []map[string]string
		for _, combination := range out {
			for _, value := range grid[key] {
				next := maps.Clone(combination)
				next[key] = value
				longer = append(longer, next)
			}
		}
		out = longer
	}
	return out
}

// shortNames calls each knob by the last part of its name where no other has the same, and in full elsewhere.
func shortNames(keys []string) map[string]string {
	last := func(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }
	count := map[string]int{}
	for _, key := range keys {
		count[last(key)]++
	}
	out := map[string]string{}
	for _, key := range keys {
		if out[key] = last(key); count[last(key)] > 1 {
			out[key] = key
		}
	}
	return out
}

var notInFileNames = regexp.MustCompile(`[^A-Za-z0-9.+-]+`)

// fileName is a value as a part of a folder's name.
func fileName(value string) string {
	name := strings.Trim(notInFileNames.ReplaceAllString(value, "_"), "_")
	return cmp.Or(name[:min(len(name), 40)], "empty")
}

// distinct refuses two cells of one folder: values that differ in what a folder's name cannot have.
func distinct(cells []Cell) error {
	seen := map[string]bool{}
	for _, c := range cells {
		if seen[c.Name] {
			return fmt.Errorf("sweep.grid: two cells have the name %s: give values that differ in letters and digits", c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}

// ParseGrid reads what --grid says, "proxy.p_t=0.1,0.01", into a grid.
func ParseGrid(grid map[string][]string, text string) error {
	key, values, ok := strings.Cut(text, "=")
	if !ok || key == "" || values == "" {
		return fmt.Errorf("--grid %q: want a knob and its values, such as proxy.p_t=0.1,0.01", text)
	}
	grid[key] = nil
	for value := range strings.SplitSeq(values, ",") {
		grid[key] = append(grid[key], strings.TrimSpace(value))
	}
	return nil
}
