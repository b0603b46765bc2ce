package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
)

// withStates lets a server give a state that says how polite a reply is, among values that say nothing. It refuses after a number
// of replies; 0 is never.
func (f *fakeServer) withStates(asked *atomic.Int32, last int32) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.handlers[wire.StatesPath] = func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); last > 0 && n > last {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"enough for now"}`)
			return
		}
		var in struct{ Reply string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		mean := wire.Vector{float32(strings.Count(in.Reply, "please")), float32(len(in.Reply) % 7), float32(len(in.Reply) % 5), 1}
		_ = json.NewEncoder(w).Encode(wire.StatesReply{
			States: wire.States{Mean: mean, Last: mean, Tokens: len(in.Reply)}, PromptTokens: 9, Digest: fakeDigest, EmbeddingLength: len(mean),
		})
	}
}

// politePairs are n pairs, of which the politer reply is chosen.
func politePairs(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		reply := strings.Repeat("a", i*i%11)
		fmt.Fprintf(&b, "{\"prompt\":\"Question %d\",\"chosen\":%q,\"rejected\":%q}\n", i, reply+" please", strings.Repeat("b", i*i%13))
	}
	return file(t, "pairs.jsonl", b.String())
}

func runCommand(t *testing.T, args ...string) error {
	t.Helper()
	root := newRoot()
	root.SetArgs(args)
	return root.ExecuteContext(t.Context())
}

// The command makes a head that knows what was preferred, goes on where it was interrupted, and makes the same file again.
func TestRewardCommand(t *testing.T) {
	f := newFakeServer(t)
	pairs, out := politePairs(t, 60), filepath.Join(t.TempDir(), "run", "reward.gguf")
	args := []string{"reward", "--pairs", pairs, "--out", out, "--ollama.host", f.host(), "--ollama.parallel", "3", "--l2", "0.1"}
	var asked atomic.Int32
	f.withStates(&asked, 50)
	if err := runCommand(t, args...); err == nil || !strings.Contains(err.Error(), "enough for now") {
		t.Fatalf("a server that breaks: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is a head")
	}
	asked.Store(0)
	f.withStates(&asked, 0)
	if err := runCommand(t, args...); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n > 120-45 {
		t.Errorf("%d of 120 replies were asked for again", n)
	}
	h, err := head.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	if polite, rude := h.Score([]float32{1, 3, 2, 1}), h.Score([]float32{0, 3, 2, 1}); polite <= rude {
		t.Errorf("polite %g, rude %g", polite, rude)
	}
	if accuracy, _ := h.Training["accuracy"].(float64); accuracy < 0.95 || h.Training["pairs"] != int64(60) || h.Base.Digest != fakeDigest {
		t.Errorf("the file says %v of a base %+v", h.Training, h.Base)
	}
	var report head.Report
	data, err := os.ReadFile(out + ".json")
	if err != nil || json.Unmarshal(data, &report) != nil || report.Pairs != 60 {
		t.Errorf("report %s, %v", data, err)
	}
	if found, err := inspectFile(out); err != nil || found.Kind != "reward head" || found.Training["pairs"] != int64(60) || found.Parameters != 5 {
		t.Errorf("inspect: %+v, %v", found, err)
	}
	first, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	asked.Store(0)
	if err := runCommand(t, args...); err != nil || asked.Load() != 0 {
		t.Errorf("again: %v, asked %d times", err, asked.Load())
	}
	if again, err := os.ReadFile(out); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the second head differs: %v", err)
	}
}

// The head goes where the configuration will look for it.
func TestRewardCommandOut(t *testing.T) {
	f := newFakeServer(t)
	f.withStates(new(atomic.Int32), 0)
	dir := t.TempDir()
	for name, test := range map[string]struct {
		yaml string
		want string
	}{
		"a reward": {"reward: {type: head, head: " + filepath.Join(dir, "a", "x.gguf") + "}", filepath.Join(dir, "a", "x.gguf")},
		"a term":   {"reward: {type: sum, terms: [{type: vader}, {type: head, head: " + filepath.Join(dir, "b", "y.gguf") + "}]}", filepath.Join(dir, "b", "y.gguf")},
		"none":     {"run: " + filepath.Join(dir, "c") + "\nreward: {type: vader}", filepath.Join(dir, "c", headFile)},
	} {
		if err := runCommand(t, "reward", "--config", file(t, "c.yaml", test.yaml+"\n"), "--pairs", politePairs(t, 20), "--ollama.host", f.host(), "--folds", "2"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := head.Open(test.want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRewardCommandRefuses(t *testing.T) {
	f := newFakeServer(t)
	var asked atomic.Int32
	f.withStates(&asked, 0)
	pairs := politePairs(t, 20)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no pairs":  {nil, "pairs"},
		"no file":   {[]string{"--pairs", "nowhere.jsonl"}, "nowhere.jsonl"},
		"too few":   {[]string{"--pairs", politePairs(t, 8)}, "8 pairs are too few for 5 folds"},
		"limit":     {[]string{"--pairs", pairs, "--limit", "-1"}, "--limit"},
		"folds":     {[]string{"--pairs", pairs, "--folds", "1"}, "--folds"},
		"l2":        {[]string{"--pairs", pairs, "--l2", "0"}, "--l2"},
		"hidden":    {[]string{"--pairs", pairs, "--hidden", "9999"}, "--hidden"},
		"not there": {[]string{"--pairs", pairs, "--ollama.host", "127.0.0.1:1"}, "127.0.0.1:1"},
	} {
		args := append([]string{"reward", "--ollama.host", f.host(), "--out", filepath.Join(t.TempDir(), "x.gguf")}, test.args...)
		if err := runCommand(t, args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d replies were asked for first", n)
	}
}

// A run with a head of another model ends before the first reply.
func TestHeadOfAnotherModel(t *testing.T) {
	f := newFakeServer(t)
	c := small(t, f)
	path := filepath.Join(t.TempDir(), "x.gguf")
	states := []head.Pair{{}, {}}
	for i := range states {
		states[i] = head.Pair{Chosen: head.Reply{State: wire.Vector{1, 2, float32(i)}}, Rejected: head.Reply{State: wire.Vector{3, 4, 5}}}
	}
	h, err := head.Fit(states, head.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	c.Reward.Type, c.Reward.Head = "head", path
	if _, err := open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "states of 3 values") {
		t.Errorf("%v", err)
	}
	if n := f.chats.Load(); n != 0 {
		t.Errorf("%d replies were asked for", n)
	}
}
