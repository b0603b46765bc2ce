//go:build patched

package integration

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/doctor"
)

// examined runs the doctor and returns its findings by check, and the exit code.
func examined(t *testing.T, flags ...string) (map[string]doctor.Finding, int) {
	t.Helper()
	args := append([]string{"doctor", "--json", "--config", root("configs", "direct.yaml"), "--run", filepath.Join(t.TempDir(), "run"),
		"--prompts.path", root("configs", "prompts.jsonl"), "--ollama.parallel", "4", "--ollama.context_length", "256"}, where()...)
	cmd := trainer(append(args, flags...)...)
	out, err := cmd.Output()
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		check(t, err)
	}
	var findings []doctor.Finding
	if err := json.Unmarshal(out, &findings); err != nil {
		t.Fatalf("%v of\n%s", err, out)
	}
	found := make(map[string]doctor.Finding, len(findings))
	for _, f := range findings {
		found[f.Check] = f
		t.Logf("%-4s %s: %s", f.Status, f.Check, f.Found)
	}
	return found, code
}

// The doctor finds nothing wrong with the real server and the real model, its own server or a running one, and what is wrong with
// others.
func TestDoctor(t *testing.T) {
	s := patched(t)
	ensureRandom(t, s)
	for name, flags := range map[string][]string{
		"a running server": {"--ollama.host", s.host, "--model", model},
		"a random model":   {"--ollama.host", s.host, "--model", randomName},
	} {
		found, code := examined(t, flags...)
		if code != 0 {
			t.Errorf("%s: exit code %d", name, code)
		}
		for _, check := range []string{"settings", "prompts", "reward", "server", "model", "prefix features", "lookahead features", "memory", "disk"} {
			if found[check].Status != doctor.OK {
				t.Errorf("%s: %+v", name, found[check])
			}
		}
	}

	stock, _ := twins(t)
	for name, tc := range map[string]struct {
		flags       []string
		check, says string
	}{
		"a stock server":   {[]string{"--ollama.host", stock.host}, "server", "has no proxies"},
		"not for rollouts": {[]string{"--ollama.host", usersServer(t).host}, "server", "gives no features"},
		"nobody there":     {[]string{"--ollama.host", closedPort(t)}, "server", "no Ollama answers"},
		"no model":         {[]string{"--ollama.host", s.host, "--model", "nobody", "--model_file", "nowhere.gguf"}, "model", "nobody"},
		"no prompts":       {[]string{"--ollama.host", s.host, "--prompts.path", "nowhere.jsonl"}, "prompts", "nowhere.jsonl"},
	} {
		found, code := examined(t, tc.flags...)
		if f := found[tc.check]; code != 1 || f.Status != doctor.Fail || f.Remedy == "" || !strings.Contains(f.Found, tc.says) {
			t.Errorf("%s: exit code %d, %+v", name, code, f)
		}
	}

	// A server of its own comes up on a free port and goes again, model or no model in its store.
	found, _ := examined(t)
	if f := found["server"]; f.Status != doctor.OK || !strings.Contains(f.Found, "starts, on the free port") {
		t.Errorf("its own server: %+v", f)
	}
}
