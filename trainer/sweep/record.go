package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// File is the name of a sweep folder's record.
const File = "sweep.json"

// Status is how far a cell is.
type Status string

// What can be said of a cell.
const (
	Open   Status = "open"   // not begun, or broken off: it goes on when the sweep does
	Done   Status = "done"   // trained and evaluated
	Failed Status = "failed" // it ended with an error, and is tried again when the sweep is
)

// Record is what a sweep's file holds.
type Record struct {
	Model  string              `json:"model"`
	Reward string              `json:"reward"`
	Grid   map[string][]string `json:"grid"`
	Seeds  int                 `json:"seeds"`
	Cells  []Result            `json:"cells"`
}

// Result is what came of a cell.
type Result struct {
	Name   string            `json:"name"`
	Values map[string]string `json:"values"`
	Seed   uint64            `json:"seed"`
	Status Status            `json:"status"`
	// Error is of a failed cell.
	Error string `json:"error,omitempty"`
	// Seconds is the time that training and evaluation took, of all tries together; a cell that was done before counts 0.
	Seconds float64 `json:"seconds"`
	// Scores are on the held-out prompts; nil until the cell is done.
	Scores *Scores `json:"scores,omitempty"`
}

// Scores are the figures of an evaluation that a table of all cells has room for.
type Scores struct {
	Greedy     float64 `json:"greedy_reward"`
	Reward     float64 `json:"reward"`
	Gain       float64 `json:"gain"`
	GainLow    float64 `json:"gain_low"` // of the 95 % interval
	GainHigh   float64 `json:"gain_high"`
	WinRate    float64 `json:"win_rate"`
	Perplexity float64 `json:"perplexity"`
	// GreedyPerplexity is that of greedy replies to the same prompts.
	GreedyPerplexity float64 `json:"greedy_perplexity"`
	Rejections       float64 `json:"rejections_per_token"`
	Forwards         float64 `json:"forwards_per_token"`
	Tokens           float64 `json:"tokens"`
}

// NewRecord is the record of cells of which none is begun, but for what an earlier one says of those with the same names.
func NewRecord(cells []Cell, before *Record) *Record {
	known := map[string]Result{}
	if before != nil {
		for _, r := range before.Cells {
			known[r.Name] = r
		}
	}
	out := &Record{}
	for _, c := range cells {
		r := Result{Name: c.Name, Values: c.Values, Seed: c.Config.Seed, Status: Open}
		if k, ok := known[c.Name]; ok {
			r.Seconds = k.Seconds
		}
		out.Cells = append(out.Cells, r)
	}
	return out
}

// Count is the number of cells with a status.
func (r *Record) Count(s Status) int {
	n := 0
	for i := range r.Cells {
		if r.Cells[i].Status == s {
			n++
		}
	}
	return n
}

// Read reads a sweep's file; where there is none, the error is fs.ErrNotExist.
func Read(path string) (*Record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Record)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w: remove it, and the sweep will write it anew", path, err)
	}
	return r, nil
}

// ReadIfThere is Read, nil for none.
func ReadIfThere(path string) (*Record, error) {
	r, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return r, err
}

// Pace estimates how long a sweep will still take.
type Pace struct {
	spent time.Duration
	done  int
}

// Add counts a cell that took d.
func (p *Pace) Add(d time.Duration) { p.spent, p.done = p.spent+d, p.done+1 }

// Left is the time that cells will take at the pace so far; false before the first is done.
func (p *Pace) Left(cells int) (time.Duration, bool) {
	if p.done == 0 {
		return 0, false
	}
	return (p.spent * time.Duration(cells) / time.Duration(p.done)).Round(time.Second), true
}
