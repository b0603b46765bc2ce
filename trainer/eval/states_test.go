package eval

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/head"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// Replies that come without states are asked about, and only those; a reward that needs none asks nothing.
func TestRunAsksForStates(t *testing.T) {
	var asked atomic.Int32
	refuse := false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Model, Reply string
			Messages     []prompts.Message
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		prompt := in.Messages[0].Content
		switch {
		case r.URL.Path == wire.StatesPath && refuse:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"error":"not here"}`)
		case r.URL.Path == wire.StatesPath:
			asked.Add(1)
			if in.Model != "m" || in.Reply != "To "+prompt {
				t.Errorf("asked for the states of %q by %s after %q", in.Reply, in.Model, prompt)
			}
			_ = json.NewEncoder(w).Encode(wire.StatesReply{States: wire.States{Mean: wire.Vector{float32(len(in.Reply))}}, EmbeddingLength: 1})
		default:
			states := ""
			if prompt == "with" {
				states = `,"proxy_states":{"mean":"AADAQA==","last":"AADAQA==","tokens":1}` // 6
			}
			fmt.Fprintf(w, `{"message":{"content":"To %s"},"done":true,"eval_count":1%s}`, prompt, states)
		}
	}))
	t.Cleanup(s.Close)
	c, err := env.NewClient(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "reward.gguf")
	h := &head.Head{Layers: []proxy.Linear{{In: 1, Out: 1, Weight: []float32{1}, Bias: []float32{0}}}, LogitScale: 1}
	if err := h.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	setting := func(spec reward.Spec) Setting {
		r, err := reward.New(spec)
		if err != nil {
			t.Fatal(err)
		}
		return Setting{Reward: r, Parallel: 2, Prompts: []prompts.Prompt{{Text: "a"}, {Text: "with"}, {Text: "longer"}}}
	}
	got, err := setting(reward.Spec{Type: reward.TypeHead, Head: path}).Run(t.Context(), c, Policy{Name: "p", Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]float64{4, 6, 9}, got.Rewards); d != "" || asked.Load() != 2 {
		t.Errorf("asked %d times, rewards −want +got\n%s", asked.Load(), d)
	}
	if _, err := setting(reward.Spec{Type: reward.TypeVADER}).Run(t.Context(), c, Policy{Name: "p", Model: "m"}); err != nil || asked.Load() != 2 {
		t.Errorf("VADER: asked %d times, %v", asked.Load(), err)
	}
	refuse = true
	if _, err := setting(reward.Spec{Type: reward.TypeHead, Head: path}).Run(t.Context(), c, Policy{Name: "p", Model: "m"}); err == nil || !strings.Contains(err.Error(), "not here") {
		t.Errorf("refused: %v", err)
	}
}
