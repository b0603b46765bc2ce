//go:build patched

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// small is a training run of seconds.
func small(dir string, flags ...string) []string {
	return append(append([]string{
		"train", "--config", root("configs", "direct.yaml"), "--run", dir, "--prompts.path", root("configs", "prompts.jsonl"),
		"--episodes", "96", "--batch_size", "16", "--tokens", "8", "--prompts.validation", "8", "--proxy.hidden_sizes", "16",
		"--ollama.parallel", "8", "--ppo.minibatch_size", "128", "--eval.max_perplexity_ratio", "0",
	}, where()...), flags...)
}

// Ctrl-C saves and exits with 130; the same command goes on where it was, and what comes of it is what an unbroken run gives.
func TestInterruptedRunGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	cmd := trainer(small(dir)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(t, cmd.Start())
	metrics := filepath.Join(dir, run.MetricsFile)
	waitFor(t, "the first update", func() bool { data, _ := os.ReadFile(metrics); return len(data) > 0 })
	check(t, cmd.Process.Signal(os.Interrupt))
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 130 || !strings.Contains(out.String(), "goes on from") {
		t.Fatalf("after Ctrl-C: %v\n%s", err, &out)
	}
	again, err := trainer(small(dir)...).CombinedOutput()
	if err != nil {
		t.Fatalf("going on: %v\n%s", err, again)
	}
	var steps []int64
	records, err := run.ReadMetrics(dir)
	check(t, err)
	for _, r := range records {
		if _, ok := r.Metrics["charts/episodic_return"]; ok {
			steps = append(steps, r.Step)
		}
	}
	if d := cmp.Diff([]int64{16, 32, 48, 64, 80, 96}, steps); d != "" {
		t.Errorf("updates −want +got\n%s", d)
	}
	if _, err := proxy.Open(filepath.Join(dir, "proxy.gguf")); err != nil {
		t.Error(err)
	}
	if out, err := trainer(small(dir, "--seed", "9")...).CombinedOutput(); err == nil || !strings.Contains(string(out), "seed") {
		t.Errorf("another configuration in the same folder: %v\n%s", err, out)
	}
}

// A server that dies in mid-run ends the run with an error that names it, and nothing is lost.
func TestServerDies(t *testing.T) {
	s := start(t, t.Name(), root("bin", "ollama"), wire.RolloutVariable+"=1")
	dir := filepath.Join(t.TempDir(), "run")
	flags := small(dir, "--ollama.host", s.host)
	cmd := trainer(flags...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(t, cmd.Start())
	waitFor(t, "the first checkpoint after an update", func() bool {
		data, _ := os.ReadFile(filepath.Join(dir, run.MetricsFile))
		return len(data) > 0
	})
	servers.Lock()
	delete(servers.running, s.name)
	servers.Unlock()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
	err := cmd.Wait()
	if err == nil || !strings.Contains(out.String(), s.host) || !strings.Contains(out.String(), "goes on from") {
		t.Errorf("after the server died: %v\n%s", err, &out)
	}
	if _, err := os.Stat(filepath.Join(dir, "last.ckpt")); err != nil {
		t.Error(err)
	}
}

// Every bad input is one line that names the thing, before the first reply is asked for.
func TestTrainerBadInput(t *testing.T) {
	closed := closedPort(t)
	stock, _ := twins(t)
	users := usersServer(t)
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		check(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	for _, test := range []struct {
		name  string
		flags []string
		want  []string
	}{
		{"unknown key", []string{"--config", write("typo.yaml", "ppo:\n  learning_rte: 1\nreward: {type: vader}\n")}, []string{"learning_rte", "learning_rate"}},
		{"unknown flag", []string{"--ppo.learning_rte", "1"}, []string{"learning_rte", "learning_rate"}},
		{"wrong type", []string{"--episodes", "many"}, []string{"episodes", "many"}},
		{"out of range", []string{"--proxy.p_t", "2"}, []string{"p_t", "2"}},
		{"no prompts", []string{"--prompts.path", "nowhere.jsonl"}, []string{"nowhere.jsonl"}},
		{"no binary", []string{"--ollama.binary", "nowhere/ollama"}, []string{"nowhere/ollama", "make build"}},
		{"nobody there", []string{"--ollama.host", closed}, []string{closed}},
		{"a stock server", []string{"--ollama.host", stock.host}, []string{stock.host, "has no proxies"}},
		{"not for rollouts", []string{"--ollama.host", users.host}, []string{users.host, "OLLAMA_PROXY_ROLLOUT=1"}},
		{"no such model", []string{"--model", "nobody", "--model_file", "nowhere.gguf"}, []string{"nobody", "nowhere.gguf"}},
		{"a reward that does not answer", []string{"--dense=false", "--config", write("http.yaml", "reward: {type: http, url: \"http://"+closed+"/score\", retries: -1}\n")}, []string{closed}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			out, err := trainer(small(dir, test.flags...)...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("the error does not name %q:\n%s", want, out)
				}
			}
			if strings.Contains(string(out), "greedy replies") {
				t.Errorf("replies were asked for first:\n%s", out)
			}
		})
	}
}

// A reward of one's own, over HTTP: the trainer sends what OpenRLHF's servers get and learns from what comes back.
func TestHTTPReward(t *testing.T) {
	var scored atomic.Int32
	scorer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Query, Prompts []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Query) != len(in.Prompts) {
			http.Error(w, "not OpenRLHF's request", http.StatusBadRequest)
			return
		}
		rewards := make([]float64, len(in.Query))
		for i, q := range in.Query {
			rewards[i] = -float64(strings.Count(q, "e"))
			scored.Add(1)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"rewards": rewards})
	}))
	defer scorer.Close()
	configuration := filepath.Join(t.TempDir(), "http.yaml")
	check(t, os.WriteFile(configuration, []byte("reward: {type: http, url: \""+scorer.URL+"\"}\ndense: false\n"), 0o644))
	dir := filepath.Join(t.TempDir(), "run")
	out, err := trainer(small(dir, "--config", configuration, "--episodes", "32")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := scored.Load(); n < 32 {
		t.Errorf("the scorer saw %d replies", n)
	}
	m, err := proxy.Open(filepath.Join(dir, "proxy.gguf"))
	check(t, err)
	if m.Training["reward"] != "http" || m.Base.Digest == "" || m.Base.VocabSize != modelShape.VocabSize {
		t.Errorf("the exported file says %v of its training and %+v of its base", m.Training, m.Base)
	}
}

// A port that is taken is an error that names it.
func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	cmd := exec.Command(root("bin", "ollama"), "serve")
	cmd.Env = append(os.Environ(), "OLLAMA_HOST="+l.Addr().String(), "HOME="+t.TempDir(), "OLLAMA_MODELS="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), l.Addr().String()) {
		t.Errorf("%v\n%s", err, out)
	}
}

// New weights for every update leave no pile of blobs.
func TestPushedProxiesDoNotPileUp(t *testing.T) {
	s := patched(t)
	blobs := func() int {
		entries, err := os.ReadDir(filepath.Join(servers.dir, "models", "blobs"))
		check(t, err)
		return len(entries)
	}
	before := blobs()
	const pushes = 40
	var digests []string
	for i := range uint64(pushes) {
		digest := s.push(t, newProxy(t, proxy.Prefix, 1000+i, nil))
		digests = append(digests, digest)
		s.generate(t, map[string]any{"prompt": questions[0], "options": map[string]any{"proxy": digest, "num_predict": 1}})
	}
	waitFor(t, "the last requests to end", func() bool { return blobs() <= before+20 })
	if r := s.generate(t, map[string]any{"prompt": questions[0], "options": map[string]any{"proxy": digests[pushes-1], "num_predict": 1}}); r.Proxy == nil {
		t.Error("the newest proxy is gone")
	}
	if slices.ContainsFunc(digests[:4], func(d string) bool {
		_, err := s.try("/api/generate", map[string]any{"prompt": questions[0], "options": map[string]any{"proxy": d, "num_predict": 1}})
		return err == nil
	}) {
		t.Error("one of the oldest proxies is still there")
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}
