package run

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Metrics are named numbers, such as "losses/policy_loss".
type Metrics map[string]float64

// Keys of a line of metrics.jsonl beside the metrics.
const (
	stepKey = "step"
	timeKey = "wall_time"
)

// check refuses what cannot be plotted, by name; of several the first by name.
func (m Metrics) check() error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name == stepKey || name == timeKey {
			return fmt.Errorf("metric %q: the name is taken", name)
		}
		if x := m[name]; math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("metric %q is %v: the run has diverged; go back to a checkpoint and lower the learning rate", name, x)
		}
	}
	return nil
}

// Record is a line of metrics.jsonl: metrics beside "step", the number of
// episodes so far, and "wall_time", in seconds since 1970, to the millisecond.
type Record struct {
	Step    int64
	Time    time.Time
	Metrics Metrics
}

// MarshalJSON writes all in one flat object.
func (r Record) MarshalJSON() ([]byte, error) {
	flat := make(map[string]any, len(r.Metrics)+2)
	for name, x := range r.Metrics {
		flat[name] = x
	}
	flat[stepKey] = r.Step
	flat[timeKey] = float64(r.Time.UnixMilli()) / 1000
	return json.Marshal(flat)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Record) UnmarshalJSON(data []byte) error {
	var m Metrics
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	for _, key := range []string{stepKey, timeKey} {
		if _, ok := m[key]; !ok {
			return fmt.Errorf("no %q", key)
		}
	}
	*r = Record{
		Step:    int64(m[stepKey]),
		Time:    time.UnixMilli(int64(math.Round(m[timeKey] * 1000))),
		Metrics: m,
	}
	delete(m, stepKey)
	delete(m, timeKey)
	return nil
}

// AppendMetrics adds a line to metrics.jsonl, and a record to the events file: step is the number of episodes so
// far and at the time of measuring. A NaN or an infinity is an error that names
// the metric, and nothing is written.
func (f *Folder) AppendMetrics(step int64, at time.Time, m Metrics) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("run: step %d: %w", step, err)
	}
	r := Record{Step: step, Time: at, Metrics: m}
	f.metrics.Lock()
	defer f.metrics.Unlock()
	if err := f.AppendJSON(MetricsFile, r); err != nil {
		return err
	}
	return f.appendEvent(r)
}

// ReadMetrics returns the lines of metrics.jsonl of the run folder dir, which a
// process may have open and write to: a last line without an end is passed over.
// A folder without the file has no records.
func ReadMetrics(dir string) ([]Record, error) {
	return ReadJSON[Record](filepath.Join(dir, MetricsFile))
}

// ReadJSON returns the lines that AppendJSON wrote to the file path. It may be
// called while they are written: a last line without an end is passed over. A
// file that does not exist has no lines. Errors name the line.
func ReadJSON[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	defer f.Close()
	var out []T
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("run: read %s: %w", path, err)
		}
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, fmt.Errorf("run: read %s:%d: %w", path, len(out)+1, err)
		}
		out = append(out, v)
	}
}
