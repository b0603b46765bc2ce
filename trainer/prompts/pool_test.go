package prompts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// words counts words, in place of a server. asked is how many prompts it was asked about.
type words struct{ asked, batches int }

func (w *words) count(_ context.Context, ps []Prompt) ([]int, error) {
	w.batches++
	w.asked += len(ps)
	out := make([]int, len(ps))
	for i, p := range ps {
		out[i] = len(strings.Fields(p.Text))
	}
	return out, nil
}

// wordy is a file of n prompts: every third has 9 words, the others 2.
func wordy(n int) string {
	var b strings.Builder
	for i := range n {
		more := ""
		if i%3 == 0 {
			more = strings.Repeat(" please", 7)
		}
		fmt.Fprintf(&b, "\"Question %d%s\"\n", i, more)
	}
	return b.String()
}

// What is left is what a filter of the whole would leave, in the same order and on the same side, and no more is asked about than
// it takes.
func TestSelectByTokens(t *testing.T) {
	o := Options{Path: write(t, "p.jsonl", []byte(wordy(900))), HoldOut: 20, Seed: 3}
	all, allHeldOut, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	short := func(ps []Prompt) []string {
		return slices.DeleteFunc(texts(ps), func(s string) bool { return strings.Contains(s, "please") })
	}
	o.MaxTokens = 5
	for _, tc := range []struct {
		name    string
		limit   int
		need    Need
		want    int
		atMost  int // asked about
		heldOut int
	}{
		{"all", 0, Need{}, len(short(all)), len(all) + 64, 20},
		{"a run's need", 0, Need{Train: 50}, 50, 200, 20},
		{"limit", 40, Need{Train: 50}, 40, 200, 20},
		{"few of both", 0, Need{Train: 5, HeldOut: 3}, 5, 40, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o.Limit = tc.limit
			pool, err := Read(o)
			if err != nil {
				t.Fatal(err)
			}
			var counter words
			train, heldOut, err := pool.Select(t.Context(), tc.need, counter.count)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(short(all)[:tc.want], texts(train)); diff != "" {
				t.Errorf("train (-want +got):\n%s", diff)
			}
			if known := short(allHeldOut); len(heldOut) != tc.heldOut || !slices.Equal(texts(heldOut)[:min(len(known), tc.heldOut)], known[:min(len(known), tc.heldOut)]) {
				t.Errorf("%d held out, want %d that begin with\n%q, got\n%q", len(heldOut), tc.heldOut, known, texts(heldOut))
			}
			if counter.asked > tc.atMost {
				t.Errorf("asked about %d prompts, want %d at most", counter.asked, tc.atMost)
			}
			if got, want := pool.Counts.Asked, counter.asked; got != want || pool.Counts.Fit != len(train)+len(heldOut) {
				t.Errorf("counts %+v of %d asked and %d left", pool.Counts, want, len(train)+len(heldOut))
			}
		})
	}
}

func TestCounts(t *testing.T) {
	in := `"a"` + "\n" + `"a"` + "\n" + `"too long"` + "\n" + `{"prompt":"b","split":"test"}` + "\n" + `{"prompt":"c"}`
	pool, err := Read(Options{Path: write(t, "p.jsonl", []byte(in)), MaxCharacters: 5})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Counts{Records: 5, Distinct: 4, Short: 3, Train: 2, HeldOut: 1}, pool.Counts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSelectErrors(t *testing.T) {
	broken := errors.New("no server")
	for _, tc := range []struct {
		name  string
		o     Options
		count Counter
		want  string
	}{
		{"no counter", Options{MaxTokens: 5}, nil, "prompts: max_tokens: nobody counts"},
		{"a counter that fails", Options{MaxTokens: 5}, func(context.Context, []Prompt) ([]int, error) { return nil, broken }, "prompts: max_tokens: no server"},
		{"a counter that miscounts", Options{MaxTokens: 5}, func(context.Context, []Prompt) ([]int, error) { return []int{1}, nil }, "1 prompts were counted, want 64"},
		{"nothing fits", Options{MaxTokens: 1}, new(words).count, "none of 90 prompts has at most 1 tokens"},
		{"too few fit", Options{MaxTokens: 5, HoldOut: 8, Reserve: .12}, new(words).count, "hold_out: want 8 prompts, but only"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.o.Path = write(t, "p.jsonl", []byte(wordy(90)))
			pool, err := Read(tc.o)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = pool.Select(t.Context(), Need{}, tc.count)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}
