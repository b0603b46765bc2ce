package main

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
)

// A dry run shows exactly what is sent, counts what every filter leaves, asks for no reply and leaves no folder.
func TestDryRun(t *testing.T) {
	f := newFakeServer(t)
	c := small(t, f)
	c.Prompts.MaxTokens = 8
	c.Proxy.Cutoff = 0
	var out bytes.Buffer
	if err := dryRun(t.Context(), c, &out); err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"llama, d 4, vocabulary 3", "8 → 3 → 2, relu: 35 parameters", "temperature 0.8, top_k 0, top_p 0.9, min_p 0, p_t 0.01",
		"13 records, 13 distinct, 13 of at most 1000 characters", "13 to train on, 0 kept from training", "have at most 8 tokens",
		"used: 8 to train on, 2 to choose the checkpoint by, 0 held out",
		"ppo, 8 episodes of up to 44 tokens = 2 updates on 4 replies each", "sample 3",
		`to the model, 4 tokens: "<user>\n" "Question`, `\n" "<assistant>\n"`, "label ", "nothing was trained", "Warning: with proxy.cutoff 0",
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if n := f.chats.Load(); n != 0 {
		t.Errorf("%d replies were asked for", n)
	}
	if _, err := os.Stat(c.Run); err == nil {
		t.Error("the run folder is there")
	}
}

// A server that cannot count is in the way only of who needs its counts.
func TestDryRunOnAnOlderServer(t *testing.T) {
	f := newFakeServer(t)
	f.handlers["/api/proxy/tokens"] = http.NotFound
	c := small(t, f)
	var out bytes.Buffer
	if err := dryRun(t.Context(), c, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cannot be shown", "make build", `"Question `} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	c.Prompts.MaxTokens = 8
	if err := dryRun(t.Context(), c, &out); err == nil || !strings.Contains(err.Error(), "max_tokens") || !strings.Contains(err.Error(), "make build") {
		t.Errorf("with max_tokens: %v", err)
	}
}
