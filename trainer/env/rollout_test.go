package env

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

func TestRows(t *testing.T) {
	for _, tc := range []struct {
		prompts  string
		parallel int
		want     string
	}{
		{"aaaabbbb", 2, "aaaa bbbb"}, // two at once, each its prompt
		{"aaaabbbb", 4, "aa aa bb bb"},
		{"aaaabbbb", 8, "a a a a b b b b"}, // all at once: nobody waits
		{"aaaabbbb", 1, "aaaa bbbb"},
		{"abcabc", 2, "a b c a b c"},
		{"aab", 20, "a a b"},
		{"", 3, ""},
	} {
		var requests []Request
		for _, id := range strings.Split(tc.prompts, "") { // of "" nothing
			requests = append(requests, Request{Prompt: prompts.Prompt{ID: id}})
		}
		var got []string
		for from, to := range rows(requests, len(requests)/tc.parallel) {
			got = append(got, tc.prompts[from:to])
		}
		if diff := cmp.Diff(strings.Fields(tc.want), got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s, %d at once (-want +got):\n%s", tc.prompts, tc.parallel, diff)
		}
	}
}

// inRow is an LLM that notes which prompts are being answered at once.
type inRow struct {
	mu   sync.Mutex
	busy map[string]int
	most int
}

var _ LLM = (*inRow)(nil)

func (l *inRow) Reply(_ context.Context, r Request) (Reply, error) {
	l.mu.Lock()
	l.busy[r.Prompt.ID]++
	l.most = max(l.most, l.busy[r.Prompt.ID])
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.busy[r.Prompt.ID]--
		l.mu.Unlock()
	}()
	return Reply{Prompt: r.Prompt, Text: r.Prompt.ID + r.Model}, nil
}

func (l *inRow) PushFile(context.Context, string) (string, error) { return "", nil }

// Replies to one prompt come one after the other, and all come, in order.
func TestRolloutInRows(t *testing.T) {
	var requests []Request
	var want []string
	for _, id := range []string{"p", "q", "r"} {
		for _, m := range []string{"1", "2", "3", "4"} {
			requests = append(requests, Request{Prompt: prompts.Prompt{ID: id}, Model: m})
			want = append(want, id+m)
		}
	}
	l := &inRow{busy: map[string]int{}}
	done := 0
	replies, err := Rollout(context.Background(), l, requests, 3, func(*Reply) { done++ })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range replies {
		got = append(got, r.Text)
	}
	if diff := cmp.Diff(want, got); diff != "" || done != len(want) || l.most != 1 {
		t.Errorf("%d done, %d to one prompt at once (-want +got):\n%s", done, l.most, diff)
	}
}
