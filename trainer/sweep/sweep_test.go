package sweep

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

func base() config.Config {
	c := config.Default()
	c.Run = "runs/x"
	c.Reward = reward.Spec{Type: reward.TypeVADER}
	return c
}

func TestCells(t *testing.T) {
	c := base()
	c.Seed = 7
	c.Sweep = config.Sweep{Seeds: 2, Grid: map[string][]string{"proxy.hidden_sizes": {"8", "8,4"}, "episodes": {"64", "128"}}}
	cells, err := Cells(c)
	if err != nil {
		t.Fatal(err)
	}
	type short struct {
		Name, Folder string
		Seed         uint64
		Episodes     int
		Sizes        []int
	}
	var got []short
	for _, cell := range cells {
		got = append(got, short{cell.Name, cell.Config.RunFolder(), cell.Config.PPO.Seed, cell.Config.Episodes, cell.Config.PPO.HiddenSizes})
		if diff := cmp.Diff(config.Sweep{}, cell.Config.Sweep); diff != "" {
			t.Errorf("%s has a grid of its own", cell.Name)
		}
	}
	of := func(episodes int, name string, sizes []int, seed uint64, seedText string) short {
		full := name + ",seed=" + seedText
		return short{full, filepath.Join("runs/x", full), seed, episodes, sizes}
	}
	want := []short{
		of(64, "episodes=64,hidden_sizes=8", []int{8}, 7, "7"), of(64, "episodes=64,hidden_sizes=8_4", []int{8, 4}, 7, "7"),
		of(128, "episodes=128,hidden_sizes=8", []int{8}, 7, "7"), of(128, "episodes=128,hidden_sizes=8_4", []int{8, 4}, 7, "7"),
		of(64, "episodes=64,hidden_sizes=8", []int{8}, 8, "8"), of(64, "episodes=64,hidden_sizes=8_4", []int{8, 4}, 8, "8"),
		of(128, "episodes=128,hidden_sizes=8", []int{8}, 8, "8"), of(128, "episodes=128,hidden_sizes=8_4", []int{8, 4}, 8, "8"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cells −want +got\n%s", diff)
	}
}

// Without a grid there is one cell for each seed; names of knobs that end alike are whole, and values are what a folder's name
// can have.
func TestCellNames(t *testing.T) {
	for want, grid := range map[string]map[string][]string{
		"seed=1": nil,
		"max_perplexity_ratio=0,hold_out=9,seed=1":     {"eval.max_perplexity_ratio": {"0"}, "prompts.hold_out": {"9"}},
		"prompts=3,path=data_a.jsonl,seed=1":           {"eval.prompts": {"3"}, "prompts.path": {"data/a.jsonl"}},
		"path=empty,seed=1":                            {"prompts.path": {"/"}},
		"model=" + strings.Repeat("m", 40) + ",seed=1": {"model": {strings.Repeat("m", 200)}},
	} {
		c := base()
		c.Sweep.Grid = grid
		cells, err := Cells(c)
		if err != nil || len(cells) != 1 || cells[0].Name != want {
			t.Errorf("%v: %d cells, %v, the first %s; want %s", grid, len(cells), err, cells[0].Name, want)
		}
	}
	if diff := cmp.Diff(map[string]string{"prompts.seed": "prompts.seed", "other.seed": "other.seed", "tokens": "tokens"},
		shortNames([]string{"prompts.seed", "other.seed", "tokens"})); diff != "" {
		t.Errorf("names −want +got\n%s", diff)
	}
}

func TestCellsRefuse(t *testing.T) {
	for want, grid := range map[string]map[string][]string{
		`cell batch_size=10,seed=1: config: episodes is 384, want a multiple`: {"batch_size": {"64", "10"}},
		`unknown key "nothing"`:   {"nothing": {"1"}},
		`two cells have the name`: {"model": {"a b", "a_b"}},
	} {
		c := base()
		c.Sweep.Grid = grid
		if _, err := Cells(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

func TestParseGrid(t *testing.T) {
	grid := map[string][]string{"tokens": {"1"}, "episodes": {"64"}}
	for _, text := range []string{"tokens=8, 16", "model=a=b"} {
		if err := ParseGrid(grid, text); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string][]string{"tokens": {"8", "16"}, "episodes": {"64"}, "model": {"a=b"}}, grid); diff != "" {
		t.Errorf("grid −want +got\n%s", diff)
	}
	for _, text := range []string{"", "tokens", "=8", "tokens="} {
		if err := ParseGrid(grid, text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// A record of earlier keeps only what time cells took; what is done is looked up anew.
func TestNewRecord(t *testing.T) {
	c := base()
	c.Sweep.Grid = map[string][]string{"tokens": {"8", "16"}}
	cells, err := Cells(c)
	if err != nil {
		t.Fatal(err)
	}
	before := &Record{Cells: []Result{{Name: "tokens=8,seed=1", Status: Failed, Error: "x", Seconds: 5}, {Name: "gone", Status: Done}}}
	got := NewRecord(cells, before)
	want := &Record{Cells: []Result{
		{Name: "tokens=8,seed=1", Values: map[string]string{"tokens": "8"}, Seed: 1, Status: Open, Seconds: 5},
		{Name: "tokens=16,seed=1", Values: map[string]string{"tokens": "16"}, Seed: 1, Status: Open},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record −want +got\n%s", diff)
	}
	if got.Count(Open) != 2 || got.Count(Done) != 0 {
		t.Errorf("%d open and %d done, want 2 and 0", got.Count(Open), got.Count(Done))
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), File)
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v, want fs.ErrNotExist", err)
	}
	if r, err := ReadIfThere(path); r != nil || err != nil {
		t.Errorf("no file: %v, %v; want nothing", r, err)
	}
	if err := os.WriteFile(path, []byte(`{"cells":[{`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadIfThere(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("half a file: %v, want an error with its path", err)
	}
}

func TestTable(t *testing.T) {
	r := &Record{Grid: map[string][]string{"proxy.p_t": {"0.1", "0.01"}}, Cells: []Result{
		{Values: map[string]string{"proxy.p_t": "0.1"}, Status: Done, Scores: &Scores{Reward: 1, Gain: 0.5, WinRate: 0.25, Perplexity: 2}},
		{Values: map[string]string{"proxy.p_t": "0.1"}, Status: Done, Scores: &Scores{Reward: 3, Gain: 1.5, WinRate: 0.75, Perplexity: 4, Rejections: 1, Forwards: 3}},
		{Values: map[string]string{"proxy.p_t": "0.01"}, Status: Failed},
	}}
	var out bytes.Buffer
	r.WriteTable(&out)
	var rows [][]string
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, "|") && !strings.Contains(line, "--+--") {
			var row []string
			for cell := range strings.SplitSeq(line, "|") {
				row = append(row, strings.TrimSpace(cell))
			}
			rows = append(rows, row)
		}
	}
	want := [][]string{
		{"p_t", "seeds", "reward ± sd", "gain over greedy", "win rate", "perplexity", "rejections/token", "forwards/token"},
		{"0.1", "2 of 2", "2.00 ± 1.41", "+1.00", "0.50", "3.00", "0.50", "1.50"},
		{"0.01", "0 of 1, 1 failed", "–", "–", "–", "–", "–", "–"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("table −want +got\n%s", diff)
	}
}

func TestPace(t *testing.T) {
	var p Pace
	if _, ok := p.Left(3); ok {
		t.Error("an estimate of nothing")
	}
	p.Add(time.Minute)
	p.Add(3 * time.Minute)
	if left, ok := p.Left(5); !ok || left != 10*time.Minute {
		t.Errorf("%v left, want 10m", left)
	}
}

func FuzzParseGrid(f *testing.F) {
	f.Add("proxy.p_t=0.1,0.01")
	f.Add("tokens=8")
	f.Fuzz(func(t *testing.T, text string) {
		c := base()
		c.Sweep.Grid = map[string][]string{}
		if ParseGrid(c.Sweep.Grid, text) != nil || c.Validate() != nil {
			return
		}
		cells, err := Cells(c)
		if err != nil {
			return
		}
		for _, cell := range cells {
			if !filepath.IsLocal(cell.Name) || strings.ContainsRune(cell.Name, filepath.Separator) {
				t.Errorf("%q gives the folder %q", text, cell.Name)
			}
		}
	})
}
