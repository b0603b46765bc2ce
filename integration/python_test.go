//go:build patched

package integration

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// numpy is a command of a Python that has NumPy, its own or the one that `make numpy` puts into .cache.
func numpy(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skipf("no Python to check with: %v", err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(python, args...)
		cmd.Env = append(os.Environ(), "PYTHONPATH="+root(".cache", "python"), "PYTHONDONTWRITEBYTECODE=1")
		return cmd
	}
	if out, err := command("-c", "import numpy").CombinedOutput(); err != nil {
		t.Skipf("this Python has no NumPy to check with (make numpy): %v\n%s", err, out)
	}
	return command(args...)
}

// What the server says of real replies, NumPy finds too: see check_trace.py, which shares nothing with our code but the files.
func TestTraceInNumPy(t *testing.T) {
	numpy(t) // skip before the work
	s := start(t, t.Name(), root("bin", "ollama"), wire.RolloutVariable+"=1", "OLLAMA_NUM_PARALLEL=1", "OLLAMA_FLASH_ATTENTION=0")
	data, shape := randomModel(t, "llama", 4)
	file := filepath.Join(t.TempDir(), "model.gguf")
	check(t, os.WriteFile(file, data, 0o644))
	s.create(t, "tiny", map[string]any{"files": map[string]string{"model.gguf": s.push(t, data)}})
	for _, m := range []struct {
		name, file string
		shape      proxy.Base
		limits     []string // see check_trace.py
		options    map[string]any
		change     func(*proxy.Model)
	}{
		{"tiny", file, shape, []string{"--logits", "2e-3", "--states", "1e-3"}, nil, nil},
		// Logits of a quantised model are off by so much that pools which reach far down are too close to call: few candidates,
		// and text that the model thinks likely.
		{model, modelFile, modelShape, []string{"--logits", "0.1", "--states", "0.15", "--from-trace"}, map[string]any{"top_k": 5, "temperature": 0.7, "top_p": 0.9}, willing},
	} {
		prompt := newReference(t, m.file, m.shape.EmbeddingLength)
		for _, features := range bothFeatures {
			for name, options := range map[string]map[string]any{
				"served":   {"top_k": 0, "proxy_max_rejections": 3},
				"explored": {"proxy_explore": true, "temperature": 1.1, "top_p": 0.95, "min_p": 0.002, "proxy_pt": 0.003},
			} {
				t.Run(m.name+"/"+string(features)+"/"+name, func(t *testing.T) {
					const text = "Once upon a time there was a fox who"
					network := filepath.Join(t.TempDir(), "proxy.gguf")
					file := newProxyFor(t, m.shape, features, 31, m.change)
					check(t, os.WriteFile(network, file, 0o644))
					options = maps.Clone(options)
					maps.Copy(options, m.options)
					maps.Copy(options, map[string]any{"proxy": s.push(t, file), "proxy_trace": wire.TraceFeatures, "seed": 9, "num_predict": 32})
					tokens, err := prompt.tokens.Encode(text, true)
					check(t, err)
					trace := filepath.Join(t.TempDir(), "trace.jsonl")
					saveTrace(t, s, trace, tokens, map[string]any{"model": m.name, "prompt": text, "raw": true, "options": options})
					out, err := numpy(t, append([]string{root("integration", "check_trace.py"), trace, m.file, network}, m.limits...)...).CombinedOutput()
					if err != nil {
						t.Fatalf("%v\n%s", err, out)
					}
					t.Log(strings.TrimSpace(string(out)))
				})
			}
		}
	}
}

// willing makes a proxy accept most of what it is asked about.
func willing(m *proxy.Model) {
	last := &m.Layers[len(m.Layers)-1]
	for i := range last.Weight {
		last.Weight[i] /= 2
	}
	last.Bias[0] += 1
}

// saveTrace saves a streamed answer, after a line that says what was asked.
func saveTrace(t *testing.T, s *server, path string, prompt []int32, request map[string]any) {
	t.Helper()
	var lines bytes.Buffer
	check(t, json.NewEncoder(&lines).Encode(map[string]any{"prompt": prompt, "options": request["options"]}))
	body, err := json.Marshal(request)
	check(t, err)
	resp, err := http.Post(s.url+"/api/generate", "application/json", bytes.NewReader(body))
	check(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	check(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, answer)
	}
	lines.Write(answer)
	check(t, os.WriteFile(path, lines.Bytes(), 0o644))
}

// pythonWith is a Python that imports the modules: PROXY_RLHF_PYTHON, or else python3. Without one it says why and returns "".
func pythonWith(b *testing.B, modules ...string) string {
	b.Helper()
	python := os.Getenv("PROXY_RLHF_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import "+strings.Join(modules, ", ")).CombinedOutput(); err != nil {
		b.Logf("left out what needs PyTorch: %s has not all of %v (set PROXY_RLHF_PYTHON): %v\n%s", python, modules, err, out)
		return ""
	}
	return python
}
