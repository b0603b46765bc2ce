package run

import (
	"os"
	"testing"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/tensorboard"
)

// events is what the events file should be: metrics.jsonl in the other form.
func events(t *testing.T, f *Folder) string {
	t.Helper()
	records, err := ReadMetrics(f.Dir())
	if err != nil {
		t.Fatal(err)
	}
	data := tensorboard.AppendHeader(nil, records[0].Time)
	for _, r := range records {
		data = tensorboard.AppendScalars(data, r.Step, r.Time, r.Metrics)
	}
	return string(data)
}

// The events file has what metrics.jsonl has, also when a folder is opened again, when the file was damaged or deleted between,
// and when the disk was full for a while.
func TestEventsAgreeWithMetrics(t *testing.T) {
	dir := t.TempDir()
	at := time.UnixMilli(1_700_000_000_123)
	for open, damage := range []func(f *Folder) error{
		func(*Folder) error { return nil },
		func(f *Folder) error { return os.Remove(f.Path(EventsFile)) },
		func(f *Folder) error { return os.WriteFile(f.Path(EventsFile), []byte("torn"), 0o644) },
		func(f *Folder) error { return f.Rewind(Mark{{MetricsFile, 2}}) },
	} {
		f, err := Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if open > 0 {
			if err := damage(f); err != nil {
				t.Fatal(err)
			}
		}
		for i := range int64(3) {
			if err := f.AppendMetrics(i, at, Metrics{"a": float64(i), "b": float64(open)}); err != nil {
				t.Fatal(err)
			}
			if got := read(t, f.Path(EventsFile)); got != events(t, f) {
				t.Fatalf("open %d, step %d: the events file is not metrics.jsonl in its form", open, i)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventsAfterAFullDisk(t *testing.T) {
	f := open(t, t.TempDir(), nil)
	add := func() error { return f.AppendMetrics(1, time.UnixMilli(1), Metrics{"a": 1}) }
	if err := add(); err != nil {
		t.Fatal(err)
	}
	room := len(read(t, f.Path(MetricsFile))) + 3 // for the line of metrics.jsonl, not for the record
	f.disk = fullDisk{room: &room}
	wantError(t, add(), "no space left")
	f.disk = osDisk{}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, f.Path(EventsFile)); got != events(t, f) {
		t.Error("the events file lacks the record that there was no room for")
	}
}
