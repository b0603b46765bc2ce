package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env/envtest"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// Replies at once are what the servers say they can do, or as many for each as is configured.
func TestConnectToSeveralServers(t *testing.T) {
	a, b := envtest.New(t, "hash"), envtest.New(t, "hash")
	a.Slots, b.Slots = 3, 5
	hosts := []string{a.URL, b.URL}
	for _, test := range []struct {
		ollama config.Ollama
		want   int
	}{
		{config.Ollama{Hosts: hosts}, 8},
		{config.Ollama{Hosts: hosts, Parallel: 2}, 4},
		{config.Ollama{Host: b.URL}, 5},
		{config.Ollama{Host: b.URL, Parallel: 7}, 7},
		{config.Ollama{Host: "nowhere:1", Hosts: hosts[:1]}, 3}, // hosts replace host
	} {
		c, err := connect(context.Background(), test.ollama, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, pooled := c.llm.(*env.Pool); c.parallel != test.want || pooled != (len(c.clients) > 1) {
			t.Errorf("%+v: %d replies at once from %d servers, a pool: %t; want %d", test.ollama, c.parallel, len(c.clients), pooled, test.want)
		}
	}
	a.Slots = 0 // an older server, which does not say
	if c, err := connect(context.Background(), config.Ollama{Host: a.URL}, ""); err != nil || c.parallel != 1 {
		t.Errorf("a server that does not say: %v, %v", c, err)
	}

	both := config.Default()
	both.Model = "hash"
	c, err := connect(context.Background(), config.Ollama{Hosts: hosts}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.prepareModel(context.Background(), both); err != nil {
		t.Errorf("the same model at both: %v", err)
	}
	b.Digest = "sha256:" + strings.Repeat("cd", 32)
	if _, err := c.prepareModel(context.Background(), both); err == nil || !strings.Contains(err.Error(), "another one at "+strings.TrimPrefix(b.URL, "http://")) {
		t.Errorf("another model at the second: %v", err)
	}
}

func TestConnectNamesTheServerThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	a := envtest.New(t, "hash")
	if _, err := connect(context.Background(), config.Ollama{Hosts: []string{a.URL, closed}}, ""); err == nil || !strings.Contains(err.Error(), closed) {
		t.Errorf("%v, want an error with %s", err, closed)
	}
}

// A run on two servers ends well although one of them dies, and is evaluated by the other.
func TestTrainOutlivesAServer(t *testing.T) {
	a, b := envtest.New(t, "hash"), envtest.New(t, "hash")
	b.Fail = func(n int) int {
		if n == 10 {
			go func() { b.CloseClientConnections(); b.Close() }()
			return 500
		}
		return 0
	}
	dir := filepath.Join(t.TempDir(), "run")
	if err := call(context.Background(), append([]string{"train"}, append(smallRun(t, a, dir), "--ollama.hosts", a.URL+","+b.URL)...)...); err != nil {
		t.Fatal(err)
	}
	if records, err := run.ReadMetrics(dir); err != nil || len(records) != 32/8+2 || b.Chats() == 0 {
		t.Errorf("%d records, %v, %d replies by the server that died", len(records), err, b.Chats())
	}
	if !exists(filepath.Join(dir, proxyFile)) {
		t.Error("no proxy was exported")
	}
}
