package preference

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// lengths is a model whose state is the length of the reply and of the last turn before it. It fails after a number of replies.
type lengths struct {
	mu    sync.Mutex
	asked int
	last  int // 0: never
}

var errTired = errors.New("tired")

func (l *lengths) States(_ context.Context, prompt []prompts.Message, reply string) (wire.StatesReply, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked++; l.last > 0 && l.asked > l.last {
		return wire.StatesReply{}, errTired
	}
	return wire.StatesReply{
		States:       wire.States{Mean: wire.Vector{float32(len(reply)), float32(len(prompt[len(prompt)-1].Content))}, Tokens: len(reply)},
		PromptTokens: 10, Cut: len(reply) / 4,
	}, nil
}

func somePairs(n int) []Pair {
	pairs := make([]Pair, n)
	for i := range pairs {
		prompt := []prompts.Message{user(strings.Repeat("p", i+1))}
		pairs[i] = Pair{Dialogue{prompt, strings.Repeat("c", i)}, Dialogue{prompt, strings.Repeat("r", i+1)}}
	}
	return pairs
}

func folder(t *testing.T, dir string) *run.Folder {
	t.Helper()
	f, err := run.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func wantStates(pairs []Pair) []head.Pair {
	var out []head.Pair
	for i := range pairs {
		reply := func(n int) head.Reply {
			return head.Reply{State: wire.Vector{float32(n), float32(i + 1)}, Tokens: n}
		}
		out = append(out, head.Pair{Chosen: reply(i), Rejected: reply(i + 1)})
	}
	return out
}

// What was interrupted goes on, and nothing is asked for twice.
func TestCollectGoesOn(t *testing.T) {
	store := folder(t, t.TempDir())
	pairs := somePairs(6)
	tired := &lengths{last: 5}
	c := Collector{Reader: tired, Store: store, Scope: "a", Parallel: 3}
	if _, count, err := c.Collect(t.Context(), pairs); !errors.Is(err, errTired) || count.Done != 5 || !strings.Contains(err.Error(), "pair") {
		t.Fatalf("%+v, %v", count, err)
	}
	again := &lengths{}
	calls := 0
	c.Reader, c.Done = again, func(Count) { calls++ }
	got, count, err := c.Collect(t.Context(), pairs)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(wantStates(pairs), got); d != "" {
		t.Errorf("−want +got\n%s", d)
	}
	// Replies have 0 to 5 and 1 to 6 tokens.
	if again.asked != 12-5 || count.Kept != 5 || count.Done != 12 || calls != 12 || count.Tokens != 15+21 || count.Replies != 12 {
		t.Errorf("asked %d times, %d calls, %+v", again.asked, calls, count)
	}
	if count.Cut != 0+0+0+0+1+1+0+0+0+1+1+1 {
		t.Errorf("%d cut", count.Cut)
	}
	// Another model's states, or with another context, are others.
	other := &lengths{}
	if _, count, err = (&Collector{Reader: other, Store: store, Scope: "b", Parallel: 1}).Collect(t.Context(), pairs); err != nil || other.asked != 12 || count.Kept != 0 {
		t.Errorf("another scope: asked %d times, %+v, %v", other.asked, count, err)
	}
	// And they are all there in the end.
	none := &lengths{last: 1}
	none.asked = 1
	if _, count, err = (&Collector{Reader: none, Store: store, Scope: "a"}).Collect(t.Context(), pairs); err != nil || count.Kept != 12 {
		t.Errorf("%+v, %v", count, err)
	}
}

func TestCollectStopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := Collector{Reader: &lengths{}, Store: folder(t, t.TempDir()), Parallel: 1}
	c.Done = func(n Count) {
		if n.Done == 3 {
			cancel()
		}
	}
	if _, count, err := c.Collect(ctx, somePairs(50)); !errors.Is(err, context.Canceled) || count.Done > 5 {
		t.Errorf("%+v, %v", count, err)
	}
}

// A process that was killed leaves half a line, which opening the folder removes; other damage is an error that names the file.
func TestCollectDamagedFile(t *testing.T) {
	dir := t.TempDir()
	store := folder(t, dir)
	pairs := somePairs(2)
	if _, _, err := (&Collector{Reader: &lengths{}, Store: store}).Collect(t.Context(), pairs); err != nil {
		t.Fatal(err)
	}
	store.Close()
	data, err := os.ReadFile(store.Path(StatesFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data []byte
		kept int
		want string
	}{
		"cut":    {data[:len(data)-9], 3, ""},
		"others": {append([]byte("{\"key\":\"\"}\n"), data...), 0, StatesFile + ": record 1 is damaged"},
		"no":     {[]byte("no JSON\n"), 0, StatesFile},
	} {
		if err := os.WriteFile(store.Path(StatesFile), test.data, 0o644); err != nil {
			t.Fatal(err)
		}
		f := folder(t, dir)
		_, count, err := (&Collector{Reader: &lengths{}, Store: f}).Collect(t.Context(), pairs)
		f.Close()
		if count.Kept != test.kept || !strings.Contains(fmt.Sprint(err), test.want) || (err == nil) != (test.want == "") {
			t.Errorf("%s: %+v, %v", name, count, err)
		}
	}
}
