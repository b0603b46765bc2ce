package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// batchMetrics are those of an update that a user looks at.
var batchMetrics = map[string]float64{
	"charts/episodic_return": -0.25, "proxy/accept_rate": 0.9, "proxy/rejections_per_token": 0.125, "proxy/tokens_per_second": 77.4,
}

func TestProgressInPlainLines(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := &progress{out: &out, label: "cell 2 of 3", now: func() time.Time { return now }}
	p.Phase("train", 8)
	for range 8 {
		now = now.Add(7 * time.Second)
		p.Reply(nil)
	}
	p.Batch(64, batchMetrics)
	p.Phase("validation", 1)
	p.parallel = 4
	p.Phase("evaluate", 8)
	now = now.Add(21 * time.Second)
	p.Reply(nil) // those in flight are half done
	p.finish()
	want := `cell 2 of 3: train: 8 replies
cell 2 of 3: train: 3/8, 35s left
cell 2 of 3: train: 6/8, 14s left
cell 2 of 3: train: episodes 64  reward -0.25  rejections/token 0.12  accept rate 0.90  77 tokens/s  0s left
cell 2 of 3: validation: 1 replies
cell 2 of 3: evaluate: 8 replies
cell 2 of 3: evaluate: 1/8, 35s left
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
}

func TestProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, terminal: true}
	p.Phase("train", 4)
	for range 2 {
		p.Reply(nil)
	}
	p.Batch(64, batchMetrics)
	p.Reply(nil)
	p.finish()
	last := out.String()[strings.LastIndex(strings.TrimRight(out.String(), "\r\n"), "\r")+1:]
	for _, want := range []string{"train: reward -0.25, accept 0.90, 77 tokens/s", "75%", "3/4"} {
		if !strings.Contains(last, want) {
			t.Errorf("the bar lacks %q: %q", want, last)
		}
	}
	if !strings.HasSuffix(out.String(), "\n") || len([]rune(strings.TrimSpace(last))) > 100 {
		t.Errorf("the bar is no line of at most 100 characters: %q", last)
	}
}
