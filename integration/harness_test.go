//go:build patched

package integration

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// The model that the tests run, as the servers call it.
const model = "smollm2:135m"

// modelShape is what a proxy file has to say of it.
var modelShape = proxy.Base{Architecture: "llama", EmbeddingLength: 576, VocabSize: 49152}

func root(elements ...string) string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return filepath.Join(append([]string{dir}, elements...)...)
}

var modelFile = root(".cache", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")

// servers are started when a test first asks for them and stopped after the last test.
var servers struct {
	sync.Mutex
	dir     string
	running map[string]*server
}

func TestMain(m *testing.M) {
	for _, path := range []string{root("bin", "ollama"), root("bin", "ollama-stock"), root("bin", "proxy-trainer"), modelFile} {
		if _, err := os.Stat(path); err != nil {
			fmt.Fprintf(os.Stderr, "%v: run these tests with make integration-test\n", err)
			os.Exit(1)
		}
	}
	dir, err := os.MkdirTemp("", "proxy-rlhf-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	servers.dir, servers.running = dir, map[string]*server{}
	code := m.Run()
	for _, s := range servers.running {
		s.stop()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

type server struct {
	name string
	url  string
	host string
	log  string
	cmd  *exec.Cmd
}

// The servers that tests share. All have one model store.
func patched(t testing.TB) *server {
	return start(t, "patched", root("bin", "ollama"), wire.RolloutVariable+"=1")
}

// usersServer is a patched server as a user starts it: not for rollouts, and with no word about engines.
func usersServer(t testing.TB) *server { return start(t, "users", root("bin", "ollama")) }

// twins are a stock and a patched server with no past. Where a reply's keys and values lie in the cache changes the last bits
// of its logits, so bytes are compared between servers that were asked the same things in the same order.
func twins(t testing.TB, environment ...string) (stock, ours *server) {
	environment = append(environment, "OLLAMA_NUM_PARALLEL=1")
	stock = start(t, t.Name()+"/stock", root("bin", "ollama-stock"), environment...)
	ours = start(t, t.Name()+"/patched", root("bin", "ollama"), environment...)
	stopAfter(t, stock, ours)
	return stock, ours
}

// stopAfter ends servers with the test that they are for.
func stopAfter(t testing.TB, mine ...*server) {
	t.Cleanup(func() {
		servers.Lock()
		defer servers.Unlock()
		for _, s := range mine {
			s.stop()
			delete(servers.running, s.name)
		}
	})
}

func start(t testing.TB, name, binary string, environment ...string) *server {
	t.Helper()
	servers.Lock()
	defer servers.Unlock()
	if s := servers.running[name]; s != nil {
		return s
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s := &server{name: name, host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), log: filepath.Join(servers.dir, strings.ReplaceAll(name, "/", "-")+".log")}
	s.url = "http://" + s.host
	log, err := os.Create(s.log)
	check(t, err)
	defer log.Close()
	s.cmd = exec.Command(binary, "serve")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Env = append(os.Environ(),
		"OLLAMA_HOST="+s.host, "HOME="+servers.dir, "OLLAMA_MODELS="+filepath.Join(servers.dir, "models"),
		"OLLAMA_NUM_PARALLEL=8", "OLLAMA_CONTEXT_LENGTH=1024", "OLLAMA_NOPRUNE=1", "OLLAMA_KEEP_ALIVE=-1", "OLLAMA_MAX_LOADED_MODELS=4",
		"OLLAMA_NO_CLOUD=1",
	)
	s.cmd.Env = append(s.cmd.Env, environment...)
	check(t, s.cmd.Start())
	servers.running[name] = s
	deadline := time.Now().Add(time.Minute)
	for {
		resp, err := http.Get(s.url + "/api/version")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer: %v\n%s", name, err, tail(s.log))
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.ensureModel(t)
	return s
}

func (s *server) stop() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait()
}

func (s *server) ensureModel(t testing.TB) {
	t.Helper()
	if status, _ := s.call(t, "/api/show", map[string]any{"model": model}); status == http.StatusOK {
		return
	}
	data, err := os.ReadFile(modelFile)
	check(t, err)
	s.create(t, model, map[string]any{"files": map[string]string{"model.gguf": s.push(t, data)}})
}

// push uploads a blob and returns its digest.
func (s *server) push(t testing.TB, data []byte) string {
	t.Helper()
	sum := sha256.Sum256(data)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	resp, err := http.Post(s.url+"/api/blobs/"+digest, "application/octet-stream", bytes.NewReader(data))
	check(t, err)
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("push: %s", resp.Status)
	}
	return digest
}

func (s *server) create(t testing.TB, name string, request map[string]any) {
	t.Helper()
	request["model"], request["stream"] = name, false
	if status, body := s.call(t, "/api/create", request); status != http.StatusOK {
		t.Fatalf("create %s: %d %s", name, status, body)
	}
}

// writeManifest makes a model that is a configuration and nothing else, which no request can make.
func (s *server) writeManifest(t testing.TB, name string, config map[string]any) {
	t.Helper()
	data, err := json.Marshal(config)
	check(t, err)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
		"config": map[string]any{"mediaType": "application/vnd.docker.container.image.v1+json", "digest": s.push(t, data), "size": len(data)},
		"layers": []any{},
	})
	check(t, err)
	dir := filepath.Join(servers.dir, "models", "manifests", "registry.ollama.ai", "library", name)
	check(t, os.MkdirAll(dir, 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "latest"), manifest, 0o644))
}

// blob is where a blob lies on disk.
func blob(digest string) string {
	return filepath.Join(servers.dir, "models", "blobs", strings.Replace(digest, ":", "-", 1))
}

// call posts a request and returns the status and the whole body.
func (s *server) call(t testing.TB, path string, request map[string]any) (int, []byte) {
	t.Helper()
	body, err := json.Marshal(request)
	check(t, err)
	resp, err := http.Post(s.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v\n%s", s.name, err, tail(s.log))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, data
}

// reply is an answer of /api/generate, or of /api/chat when Message is set.
type reply struct {
	Response string `json:"response"`
	Message  struct {
		Content   string
		Thinking  string
		ToolCalls []struct {
			Function struct {
				Name      string
				Arguments map[string]any
			}
		} `json:"tool_calls"`
	}
	Done         bool            `json:"done"`
	DoneReason   string          `json:"done_reason"`
	EvalCount    int             `json:"eval_count"`
	EvalDuration time.Duration   `json:"eval_duration"`
	Proxy        *wire.Stats     `json:"proxy"`
	Decisions    []wire.Decision `json:"decisions"`
	ProxyStates  *wire.States    `json:"proxy_states"`
	LogProbs     []logProb       `json:"logprobs"`
	Error        string          `json:"error"`
}

type logProb struct {
	Token   string    `json:"token"`
	LogProb float64   `json:"logprob"`
	Top     []logProb `json:"top_logprobs"`
}

// generate asks for one reply, not streamed.
func (s *server) generate(t testing.TB, request map[string]any) reply {
	t.Helper()
	r, err := s.try("/api/generate", request)
	if err != nil {
		t.Fatalf("%s: %v\n%s", s.name, err, tail(s.log))
	}
	return r
}

// try is generate for goroutines and for requests that may fail.
func (s *server) try(path string, request map[string]any) (reply, error) {
	if _, ok := request["model"]; !ok {
		request["model"] = model
	}
	request["stream"] = false
	body, err := json.Marshal(request)
	if err != nil {
		return reply{}, err
	}
	resp, err := http.Post(s.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	var r reply
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return reply{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return r, &statusError{resp.StatusCode, r.Error}
	}
	if !r.Done {
		return r, errors.New("the reply has no final record")
	}
	return r, nil
}

type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string { return fmt.Sprintf("%d %s", e.status, e.message) }

// stream asks for a streamed reply and returns its objects.
func (s *server) stream(t testing.TB, path string, request map[string]any) []reply {
	t.Helper()
	if _, ok := request["model"]; !ok {
		request["model"] = model
	}
	request["stream"] = true
	body, err := json.Marshal(request)
	check(t, err)
	resp, err := http.Post(s.url+path, "application/json", bytes.NewReader(body))
	check(t, err)
	defer resp.Body.Close()
	var out []reply
	scanner := bufio.NewScanner(resp.Body)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var r reply
		check(t, json.Unmarshal(scanner.Bytes(), &r))
		out = append(out, r)
	}
	check(t, scanner.Err())
	return out
}

// newProxy is a random proxy of the paper's size for the test model, which accepts about half of what it is asked about.
func newProxy(t testing.TB, features proxy.Features, seed uint64, change func(*proxy.Model)) []byte {
	return newProxyFor(t, modelShape, features, seed, change)
}

func newProxyFor(t testing.TB, base proxy.Base, features proxy.Features, seed uint64, change func(*proxy.Model)) []byte {
	t.Helper()
	m, err := proxy.New(proxy.Config{
		Features: features, EmbeddingLength: base.EmbeddingLength, FeedForwardLength: []int{2048}, Activation: proxy.ReLU,
		Pool: sampler.DefaultOptions(), Cutoff: 0.5, Base: base,
	}, rand.New(rand.NewPCG(seed, 0)))
	check(t, err)
	// Scores of all candidates of such a network lie close together: spread them.
	last := m.Layers[len(m.Layers)-1]
	for i := range last.Weight {
		last.Weight[i] *= 8
	}
	if change != nil {
		change(m)
	}
	path := filepath.Join(t.TempDir(), "proxy.gguf")
	check(t, m.WriteFile(path))
	data, err := os.ReadFile(path)
	check(t, err)
	return data
}

// undecided makes a proxy accept about half of what it is asked about, whichever model it sees.
func undecided(m *proxy.Model) {
	last := m.Layers[len(m.Layers)-1]
	for i := range last.Weight {
		last.Weight[i] /= 64
	}
}

var questions = []string{
	"Tell me about your day.", "How do I bake bread?", "What should I do on a rainy Sunday?", "Write two sentences about the sea.",
	"Why is the sky blue?", "Give me a tip for better sleep.", "What is a good name for a cat?", "How does a bicycle stay upright?",
	"My friend is sad. What can I say?", "Explain what a prime number is.", "What do you like about music?", "How can I save money?",
	"Describe a forest in autumn.", "What is the capital of Italy?", "How do plants drink?", "Tell me a short story about a fox.",
	"Which sport should I try?", "How do I write a polite email?", "What makes a good neighbour?", "Name three uses of vinegar.",
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tail(path string) string {
	data, _ := os.ReadFile(path)
	return string(data[max(0, len(data)-3000):])
}
