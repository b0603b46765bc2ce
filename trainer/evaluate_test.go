package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// ollama is a server that knows what an evaluation asks of one. The base model speaks of itself, a proxy does not, and the judge
// likes those better who do not.
type ollama struct {
	*httptest.Server
	lock    sync.Mutex
	replies map[string]int // asked for, by model
	full    bool           // its disk: it makes no models
}

func newOllama(t *testing.T, models ...string) *ollama {
	o := &ollama{replies: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/show", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Model string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		for _, m := range models {
			if m == in.Model {
				fmt.Fprint(w, "{}")
				return
			}
		}
		http.Error(w, `{"error":"not found"}`, http.StatusNotFound)
	})
	mux.HandleFunc("POST /api/blobs/{digest}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	mux.HandleFunc("POST /api/create", func(w http.ResponseWriter, _ *http.Request) {
		if o.full {
			http.Error(w, `{"error":"no space left on device"}`, http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, `{"status":"success"}`)
	})
	mux.HandleFunc("POST /api/chat", o.chat)
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

func (o *ollama) chat(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model    string
		Messages []prompts.Message
		Options  map[string]any
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	if len(in.Messages) == 0 { // a request to load the model
		fmt.Fprint(w, `{"done":true}`)
		return
	}
	o.lock.Lock()
	o.replies[in.Model]++
	o.lock.Unlock()
	text, stats := "I am.", (*wire.Stats)(nil)
	switch {
	case in.Model == "judge":
		_, b, _ := strings.Cut(in.Messages[1].Content, "<reply_B>")
		text = map[bool]string{true: `{"better":"A"}`, false: `{"better":"B"}`}[strings.Contains(b, "I am")]
	case in.Model == "tried":
		text, stats = "We are.", &wire.Stats{Accepted: 3, Rejected: 1, Forwards: 4}
	case in.Options["seed"] != nil && int(in.Options["seed"].(float64))%2 == 0:
		text = "You are."
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"message": prompts.Message{Content: text}, "done": true, "done_reason": "stop", "prompt_eval_count": 20, "eval_count": 3, "proxy": stats,
		"logprobs": []map[string]float64{{"logprob": -1}, {"logprob": -2}, {"logprob": -1}},
	})
}

// trained is a session of a run that has a proxy, at a server.
func trained(t *testing.T, host string, change func(*config.Config)) *session {
	t.Helper()
	c := config.Default()
	c.Name, c.Model, c.Ollama.Host, c.Ollama.Parallel = "tried", "base", host, 2
	c.Reward = reward.Spec{Type: reward.TypeRegexp, Pattern: reward.FirstPerson, PerMatch: -1}
	c.Eval.BootstrapSamples = 100
	change(&c)
	s := &session{config: c}
	var err error
	if s.folder, err = run.Open(filepath.Join(t.TempDir(), "run"), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	client, err := env.NewClient(host)
	if err != nil {
		t.Fatal(err)
	}
	s.connection = &connection{client: client, clients: []*env.Client{client}, llm: client, parallel: 2}
	if s.reward, err = reward.New(c.Reward); err != nil {
		t.Fatal(err)
	}
	if c.Eval.Reward2 != nil {
		if s.reward2, err = reward.New(*c.Eval.Reward2); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 6 {
		s.heldOut = append(s.heldOut, prompts.Prompt{Text: fmt.Sprint("prompt ", i), ID: fmt.Sprint(i)})
	}
	if err := os.WriteFile(s.folder.Path(proxyFile), []byte("GGUF"), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEvaluate(t *testing.T) {
	for _, c := range []struct {
		name     string
		fallback []string
		change   func(*config.Config)
		replies  map[string]int // asked for, by model
		rows     string
	}{
		{"the demo is quick", demoPolicies, func(*config.Config) {},
			map[string]int{"base": 6, "tried": 6}, "base greedy, proxy"},
		{"eval", evalPolicies, func(*config.Config) {},
			map[string]int{"base": 12, "tried": 6}, "base greedy, base sampling, proxy"},
		{"best-of-n only when asked", demoPolicies, func(c *config.Config) { c.Eval.BestOf = []int{1, 4, 2} },
			map[string]int{"base": 30, "tried": 6}, "base greedy, proxy, best of 1, best of 2, best of 4"},
		{"the configuration's say", evalPolicies, func(c *config.Config) { c.Eval.Policies = []string{config.PolicySample} },
			map[string]int{"base": 12}, "base greedy, base sampling"},
		{"a second reward and a judge", demoPolicies, func(c *config.Config) {
			c.Eval.Reward2 = &reward.Spec{Type: reward.TypeLength}
			c.Eval.Judge = &config.Judge{Model: "judge"}
		}, map[string]int{"base": 6, "tried": 6, "judge": 12}, "base greedy, proxy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newOllama(t, "base", "judge")
			s := trained(t, server.URL, c.change)
			e, err := s.evaluate(context.Background(), c.fallback)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.replies, server.replies); diff != "" {
				t.Errorf("replies by model (-want +got):\n%s", diff)
			}
			var rows []string
			for _, row := range e.Summaries {
				rows = append(rows, row.Policy)
			}
			for _, row := range e.BestOf {
				rows = append(rows, row.Policy)
			}
			if got := strings.Join(rows, ", "); got != c.rows {
				t.Errorf("rows %s, want %s", got, c.rows)
			}
			read, err := eval.Read(s.folder.Path(eval.File))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, read); diff != "" {
				t.Errorf("(-made +written):\n%s", diff)
			}
			last := e.Summaries[len(e.Summaries)-1]
			if last.Policy == eval.NameProxy && (last.Gain.Mean != 1 || last.WinRate != 1 || last.Rejections != 1./3) {
				t.Errorf("the proxy's row is %+v", last)
			}
			if (last.Second != nil) != (e.Reward2 == reward.TypeLength) || (last.Judge != nil) != (e.Judge == "judge") {
				t.Errorf("second reward %q: %v, judge %q: %v", e.Reward2, last.Second, e.Judge, last.Judge)
			}
			if last.Judge != nil && (last.Judge.Wins != 6 || last.Judge.Refusals != 0) {
				t.Errorf("the judge says %+v", last.Judge)
			}
		})
	}
}

// All servers take part, each with the proxy attached. One that was left out in training is not asked, nor one that cannot have
// the proxy.
func TestEvaluateOnSeveralServers(t *testing.T) {
	a, b, gone, full := newOllama(t, "base"), newOllama(t, "base"), newOllama(t, "base"), newOllama(t, "base")
	s := trained(t, a.URL, func(*config.Config) {})
	var clients []*env.Client
	for _, o := range []*ollama{gone, a, b, full} {
		client, err := env.NewClient(o.URL)
		if err != nil {
			t.Fatal(err)
		}
		client.RetryWait = time.Microsecond
		clients = append(clients, client)
	}
	pool := env.NewPool(clients, []int{1, 1, 1, 1})
	var warnings []string
	pool.Warn = func(w string) { warnings = append(warnings, w) }
	s.connection = &connection{client: clients[1], clients: clients, llm: pool, parallel: 4}
	gone.Close()
	if _, err := pool.PushFile(t.Context(), s.folder.Path(proxyFile)); err != nil || len(warnings) != 1 {
		t.Fatalf("left out: %q, %v", warnings, err)
	}
	full.full = true
	e, err := s.evaluate(t.Context(), demoPolicies)
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{"base", "tried"} {
		if a.replies[model] == 0 || b.replies[model] == 0 || a.replies[model]+b.replies[model] != 6 {
			t.Errorf("%s gave %d and %d replies, want 6 in all from both", model, a.replies[model], b.replies[model])
		}
	}
	if gain := e.Summaries[1].Gain.Mean; gain != 1 {
		t.Errorf("gain %v, want 1", gain)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[1], clients[3].Host()) || !strings.Contains(warnings[1], "no space left on device") {
		t.Errorf("warnings %q, want a second one that names %s and its reason", warnings, clients[3].Host())
	}
	a.Close()
	b.Close()
	if _, err := s.evaluate(t.Context(), demoPolicies); !errors.Is(err, env.ErrNoServers) {
		t.Errorf("with no server left: %v", err)
	}
}

// The commands that chat with the result are for the server that has it.
func TestPrintChat(t *testing.T) {
	s := trained(t, "127.0.0.1:4321", func(c *config.Config) { c.Ollama.Binary, c.Ollama.Store = "ollama", "/store" })
	said := func() string {
		var b bytes.Buffer
		s.printChat(&b)
		return b.String()
	}
	want := `
to chat with it:
  OLLAMA_HOST=127.0.0.1:4321 ollama run --verbose tried
  OLLAMA_HOST=127.0.0.1:4321 ollama run base      # the same model without the proxy
`
	if diff := cmp.Diff(want, said()); diff != "" {
		t.Errorf("a server that runs (-want +got):\n%s", diff)
	}
	s.server = &env.Server{Client: s.client}
	defer func() { s.server = nil }() // it is none that can be stopped
	if got := said(); !strings.Contains(got, "127.0.0.1:11555 OLLAMA_MODELS=/store/models HOME=/store ollama serve &\n") || strings.Contains(got, "4321") {
		t.Errorf("a server of our own: %s", got)
	}
}

// What cannot be evaluated is known before the first reply, and the error says what to do.
func TestEvaluateErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*session)
		want   string
	}{
		{"nothing held out", func(s *session) { s.heldOut = nil }, "prompts.hold_out"},
		{"no proxy", func(s *session) { os.Remove(s.folder.Path(proxyFile)) }, "run proxy-trainer train first"},
		{"no such judge", func(s *session) { s.config.Eval.Judge = &config.Judge{Model: "nobody"} }, `eval.judge: the server at 127.0.0.1`},
		{"no address", func(s *session) { s.config.Eval.Judge = &config.Judge{Model: "judge", Host: "%"} }, "eval.judge: "},
		{"nobody there", func(s *session) { s.config.Eval.Judge = &config.Judge{Model: "judge", Host: "127.0.0.1:1"} }, "eval.judge: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newOllama(t, "base")
			s := trained(t, server.URL, func(*config.Config) {})
			c.change(s)
			_, err := s.evaluate(context.Background(), evalPolicies)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if len(server.replies) > 0 {
				t.Errorf("replies were asked for first: %v", server.replies)
			}
		})
	}
}

func TestEvalCommandHasMarkdown(t *testing.T) {
	cmd := evalCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"--help"})
	if err := cmd.Execute(); err != nil || !strings.Contains(out.String(), "--markdown") || !strings.Contains(out.String(), "--eval.best_of") {
		t.Errorf("%v\n%s", err, &out)
	}
}

// A prompt on which the reward fails is left out of all rows, and said to be.
func TestEvaluateLeavesOutWhatTheRewardFailsOn(t *testing.T) {
	scorer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Prompts []string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		rewards := make([]*float64, len(in.Prompts))
		for i, p := range in.Prompts {
			if p != "prompt 3" {
				rewards[i] = new(1.0)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"rewards": rewards})
	}))
	defer scorer.Close()
	for _, most := range []float64{0.2, 0.1} {
		s := trained(t, newOllama(t, "base").URL, func(c *config.Config) {
			c.Reward, c.RewardMaxDropped = reward.Spec{Type: reward.TypeHTTP, URL: scorer.URL}, most
		})
		e, err := s.evaluate(context.Background(), demoPolicies)
		if most == 0.2 && (err != nil || e.Prompts != 5 || e.Dropped != 1) {
			t.Errorf("%+v, %v", e, err)
		}
		if most == 0.1 && (err == nil || !strings.Contains(err.Error(), "1 of 6 prompts, and reward_max_dropped is 0.1; the first is to prompt 3: ")) {
			t.Errorf("one too many: %v", err)
		}
	}
}
