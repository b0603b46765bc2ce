//go:build patched

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// command is bin/ollama as a client of s.
func (s *server) command(args ...string) *exec.Cmd {
	cmd := exec.Command(root("bin", "ollama"), args...)
	cmd.Env = append(os.Environ(), "OLLAMA_HOST="+s.host, "HOME="+servers.dir, "OLLAMA_NOHISTORY=1", "TERM=dumb")
	return cmd
}

// ollama runs bin/ollama and returns what it prints.
func (s *server) ollama(t testing.TB, args ...string) string {
	t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ollama %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// describedProxy is a trained proxy's file as far as its description goes.
func describedProxy(t testing.TB, features proxy.Features) []byte {
	return newProxyFor(t, randomShape, features, 31, func(m *proxy.Model) {
		m.Training = map[string]any{"algorithm": "ppo", "reward": "vader"}
		m.Pool.PT = 0.02
	})
}

// show, ps and run --verbose, and the API behind them, say which proxy a model has; nothing is said of a model without one.
func TestShow(t *testing.T) {
	s := patched(t)
	ensureRandom(t, s)
	for _, features := range bothFeatures {
		name := "shown-" + string(features)
		digest := s.push(t, describedProxy(t, features))
		s.attach(t, name, randomName, digest, map[string]any{"num_predict": 4})
		inputs := randomWidth
		if features == proxy.Prefix {
			inputs *= 2
		}
		want := &wire.Description{
			Digest: digest, Features: string(features), Parameters: int64(inputs*2048 + 2048 + 2048*2 + 2), PT: new(0.02), Cutoff: new(0.5), Reward: "vader",
		}
		if d := cmp.Diff(want, shownProxy(t, s, name)); d != "" {
			t.Errorf("/api/show %s: want −, got +\n%s", name, d)
		}
		verbose := s.ollama(t, "run", "--verbose", name, "Hello")
		if !strings.Contains(verbose, want.String()) || !strings.Contains(verbose, "proxy decisions:") {
			t.Errorf("run --verbose does not say %q and the counts:\n%s", want, verbose)
		}
		if quiet := s.ollama(t, "run", name, "Hello"); strings.Contains(quiet, digest) {
			t.Errorf("run says without being asked:\n%s", quiet)
		}
		shown := s.ollama(t, "show", name)
		for _, row := range want.Rows() {
			if !regexp.MustCompile(`(?m)^ +` + row[0] + ` +` + regexp.QuoteMeta(row[1]) + ` *$`).MatchString(shown) {
				t.Errorf("show %s has no row %q:\n%s", name, row, shown)
			}
		}
		if running := runningProxy(t, s, name); cmp.Diff(want, running) != "" {
			t.Errorf("/api/ps: %s", cmp.Diff(want, running))
		}
		if ps := s.ollama(t, "ps"); !strings.Contains(ps, "PROXY") || !strings.Contains(ps, want.String()) {
			t.Errorf("ps does not say %q:\n%s", want, ps)
		}
	}
	if d := shownProxy(t, s, randomName); d != nil {
		t.Errorf("/api/show of a model without a proxy: %+v", d)
	}
	if shown := s.ollama(t, "show", randomName); strings.Contains(shown, "Proxy") {
		t.Errorf("show of a model without a proxy:\n%s", shown)
	}
	if ps := s.ollama(t, "ps", "nothing-by-this-name"); strings.Contains(ps, "sha256") {
		t.Errorf("ps of nothing:\n%s", ps)
	}

	// A proxy that cannot be read is not passed over in silence.
	digest := s.push(t, newProxyFor(t, randomShape, proxy.Prefix, 32, nil))
	s.attach(t, "shown-broken", randomName, digest, nil)
	check(t, os.Truncate(blob(digest), 4096))
	if d := shownProxy(t, s, "shown-broken"); d == nil || d.Digest != digest || d.Error == "" {
		t.Errorf("/api/show of a model with a broken proxy: %+v", d)
	}
	if out, err := s.command("run", "shown-broken", "Hello").CombinedOutput(); err == nil || !strings.Contains(string(out), "exceeds file size") {
		t.Errorf("run of a model with a broken proxy: %v\n%s", err, out)
	}
	check(t, os.Remove(blob(digest)))
}

func shownProxy(t testing.TB, s *server, name string) *wire.Description {
	t.Helper()
	_, body := s.call(t, "/api/show", map[string]any{"model": name})
	var r struct{ Proxy *wire.Description }
	check(t, json.Unmarshal(body, &r))
	return r.Proxy
}

func runningProxy(t testing.TB, s *server, name string) *wire.Description {
	t.Helper()
	resp, err := http.Get(s.url + "/api/ps")
	check(t, err)
	defer resp.Body.Close()
	var r struct {
		Models []struct {
			Name  string
			Proxy *wire.Description
		}
	}
	check(t, json.NewDecoder(resp.Body).Decode(&r))
	for _, m := range r.Models {
		if m.Name == name+":latest" {
			return m.Proxy
		}
	}
	return nil
}

// `ollama create` with a bad proxy says what is wrong and with what.
func TestCreateCommandRefuses(t *testing.T) {
	s := patched(t)
	ensureRandom(t, s)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "proxy.gguf"), otherModel(t, 32, "llama"), 0o644))
	for parameter, want := range map[string]string{
		"temperature 0.5": "embedding length 32, this one has 64",
		"proxy_pt 2":      `option "proxy_pt": want a number from 0 to 1, got 2`,
		"proxy_ptt 0.1":   "proxy_ptt",
	} {
		check(t, os.WriteFile(filepath.Join(dir, "Modelfile"), []byte("FROM "+randomName+"\nADAPTER ./proxy.gguf\nPARAMETER "+parameter+"\n"), 0o644))
		out, err := s.command("create", "refused", "-f", filepath.Join(dir, "Modelfile")).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("PARAMETER %s: %v, want %q in\n%s", parameter, err, want, out)
		}
	}
}

// terminal is a command with a terminal, as a user has it before them.
type terminal struct {
	t      testing.TB
	master *os.File

	mu   sync.Mutex
	seen []byte
	read int // what expect has looked at
}

func (s *server) terminal(t testing.TB, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	check(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	check(t, err)
	check(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 200}))
	slave, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	defer slave.Close()
	cmd := s.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	check(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	term := &terminal{t: t, master: master}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			term.mu.Lock()
			term.seen = append(term.seen, buffer[:n]...)
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return term
}

// expect waits for text and returns what came up to it since the last call.
func (term *terminal) expect(text string) string {
	term.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		term.mu.Lock()
		unread := string(term.seen[term.read:])
		if i := strings.Index(unread, text); i >= 0 {
			term.read += i + len(text)
			term.mu.Unlock()
			return unread[:i]
		}
		term.mu.Unlock()
		if time.Now().After(deadline) {
			term.t.Fatalf("the terminal does not say %q:\n%s", text, unread)
		}
	}
}

func (term *terminal) enter(line string) {
	term.t.Helper()
	_, err := term.master.WriteString(line + "\r")
	check(term.t, err)
}

// In a chat, `/set parameter` switches the proxy off and on and takes its options, and `/save` keeps it.
func TestSetParameter(t *testing.T) {
	s := patched(t)
	ensureRandom(t, s)
	const name = "in-a-chat"
	digest := s.push(t, describedProxy(t, proxy.Prefix))
	s.attach(t, name, randomName, digest, map[string]any{"num_predict": 6})
	chat := s.terminal(t, "run", "--verbose", name)
	const ready = "Send a message"
	chat.expect(ready)
	// asks says something and returns all that is printed until the next prompt.
	asks := func() string {
		t.Helper()
		chat.enter("Hello")
		before := chat.expect("eval rate:") // of the prompt
		before += chat.expect("eval rate:")
		return before + chat.expect(ready)
	}
	set := func(parameter, want string) {
		t.Helper()
		chat.enter("/set parameter " + parameter)
		chat.expect(want)
		chat.expect(ready)
	}
	const counts = "proxy decisions:"
	if out := asks(); !strings.Contains(out, counts) {
		t.Errorf("at first the proxy does not decide:\n%s", out)
	}
	set("proxy none", "Set parameter 'proxy' to 'none'")
	if out := asks(); strings.Contains(out, counts) {
		t.Errorf("with none the proxy decides:\n%s", out)
	}
	set(`proxy ""`, `Set parameter 'proxy' to '""'`)
	if out := asks(); !strings.Contains(out, counts) || !strings.Contains(out, digest) {
		t.Errorf("switched on again the proxy does not decide:\n%s", out)
	}
	set("proxy_max_rejections 2", "Set parameter 'proxy_max_rejections'")
	set("proxy_explore true", "Set parameter 'proxy_explore'")
	set("proxy_trace decisions", "Set parameter 'proxy_trace'")
	set("proxy_cutoff 0.25", "Set parameter 'proxy_cutoff'")
	set("proxy_pt 1", "Set parameter 'proxy_pt'")
	if out := asks(); !strings.Contains(out, "0 accepted, 0 rejected, 6 forced") {
		t.Errorf("with p_t 1:\n%s", out)
	}
	// What could not be sent is not set, and the chat goes on.
	set("proxy_pt 2", "want a number from 0 to 1")
	set("proxy_pt much", "want a number from 0 to 1")
	set("proxy_max_rejections 1.5", "want a whole number")
	set("proxy_explore maybe", "want true or false")
	set("proxy_trace all", "want one of")
	set("proxy helpful", "the model's own")
	set("proxy_ptt 0.1", "did you mean")
	set("seed x", "invalid int value") // as ever
	if out := asks(); !strings.Contains(out, "0 accepted, 0 rejected, 6 forced") {
		t.Errorf("after refused ones:\n%s", out)
	}
	chat.enter("/show info")
	chat.expect("Proxy")
	chat.expect(digest)
	chat.expect(ready)
	chat.enter("/save saved-chat")
	chat.expect("Created new model 'saved-chat'")
	chat.expect(ready)
	chat.enter("/bye")
	if d := shownProxy(t, s, "saved-chat"); d == nil || d.Digest != digest {
		t.Errorf("the saved chat has the proxy %+v", d)
	}
}
