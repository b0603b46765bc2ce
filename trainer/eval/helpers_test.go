package eval

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
)

var near = cmpopts.EquateApprox(0, 1e-12)

// call is one request as the fake server got it.
type call struct {
	Model    string
	Messages []prompts.Message
	Options  map[string]any
	LogProbs bool
	Format   json.RawMessage
	Think    *bool
}

// last is what the last message says.
func (c call) last() string { return c.Messages[len(c.Messages)-1].Content }

// answer is what the fake server says to a call.
type answer struct {
	text   string
	stats  *wire.Stats
	prompt int
	cut    bool
	nll    float64 // of each of four tokens
}

// fake is a server that answers, and a list of what it was asked, in order.
func fake(t *testing.T, say func(call) answer) (*env.Client, *[]call) {
	t.Helper()
	var lock sync.Mutex
	var calls []call
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c call
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil || r.URL.Path != "/api/chat" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		lock.Lock()
		calls = append(calls, c)
		lock.Unlock()
		a := say(c)
		type logProb struct {
			LogProb float64 `json:"logprob"`
		}
		out := map[string]any{"message": prompts.Message{Role: "assistant", Content: a.text}, "done": !a.cut}
		if c.LogProbs {
			out["logprobs"] = []logProb{{-a.nll}, {-a.nll}, {-a.nll}, {-a.nll}}
		}
		if !a.cut {
			out["done_reason"], out["eval_count"], out["prompt_eval_count"] = "stop", 4, a.prompt
			if a.stats != nil {
				out["proxy"] = a.stats
			}
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(s.Close)
	c, err := env.NewClient(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c, &calls
}

// scores is draws replies of four tokens to each prompt, with these rewards.
func scores(name string, draws int, rewards []float64, proxy *wire.Stats) *Scores {
	s := &Scores{Policy: Policy{Name: name, Draws: draws}, Rewards: rewards, Wall: 2 * time.Second}
	for range rewards {
		s.Replies = append(s.Replies, env.Reply{
			Text: "a b a b", Tokens: 4, PromptTokens: 10, Proxy: proxy, LogProbs: []float64{-1, -1}, DoneReason: "stop",
		})
	}
	return s
}
