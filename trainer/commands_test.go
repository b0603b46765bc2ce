package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/doctor"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/learn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/ppo"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/sac"
)

// command runs the program's command line in this process, without the environment's say.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "OLLAMA_") || strings.HasPrefix(name, "PROXY_RLHF_") {
			t.Setenv(name, "")
		}
	}
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

var fakeBase = proxy.Base{Architecture: "llama", EmbeddingLength: 4, VocabSize: 3, Digest: fakeDigest}

// trainedRun is a run folder with two checkpoints, and the flags that name it. The last one is of an agent that differs.
func trainedRun(t *testing.T) (dir string, flags []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "run")
	folder, err := run.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	for seed, name := range []string{learn.BestCheckpoint, learn.LastCheckpoint} {
		o := ppo.DefaultOptions()
		o.HiddenSizes, o.Seed = []int{3}, uint64(seed)
		agent, err := ppo.New(8, o)
		if err != nil {
			t.Fatal(err)
		}
		state := agent.State()
		s := learn.State{
			Algorithm: config.PPO, PPO: &state, Base: fakeBase, Episodes: 64 * (seed + 1), Validated: 64, Started: true,
			Best: learn.Validation{Episodes: 64, Reward: .5, Perplexity: 2.5}, Greedy: learn.Validation{Reward: -1, Perplexity: 2},
		}
		if err := folder.SaveCheckpoint(name, s); err != nil {
			t.Fatal(err)
		}
	}
	return dir, []string{"--run", dir, "--reward.type", "vader", "--proxy.hidden_sizes", "3"}
}

func TestExport(t *testing.T) {
	dir, flags := trainedRun(t)
	elsewhere := filepath.Join(t.TempDir(), "other.ckpt")
	data, err := os.ReadFile(filepath.Join(dir, learn.LastCheckpoint))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(elsewhere, data, 0o600); err != nil {
		t.Fatal(err)
	}
	exported := func(args ...string) *proxy.Model {
		t.Helper()
		if _, err := command(t, slices.Concat([]string{"export"}, flags, args)...); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, modelfileFile)); err != nil || !strings.Contains(string(text), "ADAPTER ./"+proxyFile) {
			t.Errorf("%v: Modelfile %q, %v", args, text, err)
		}
		m, err := proxy.Open(filepath.Join(dir, proxyFile))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	best := exported()
	if best.Training["episodes"] != int64(64) || best.Training["validation_reward"] != .5 || best.Training["greedy_reward"] != -1. || best.Base != fakeBase {
		t.Errorf("best: training %v, base %+v", best.Training, best.Base)
	}
	last := exported("--checkpoint", "last")
	if _, validated := last.Training["validation_reward"]; last.Training["episodes"] != int64(128) || validated {
		t.Errorf("last, which was not validated: training %v", last.Training)
	}
	if cmp.Equal(best.Layers, last.Layers) {
		t.Error("best and last have the same weights")
	}
	if d := cmp.Diff(last, exported("--checkpoint", elsewhere)); d != "" {
		t.Errorf("by path −last +got\n%s", d)
	}
}

func TestInspect(t *testing.T) {
	dir, flags := trainedRun(t)
	if _, err := command(t, append([]string{"export"}, flags...)...); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{
		proxyFile: {"kind proxy", "prefix: 8 values of each candidate", "architecture llama, d 4, vocabulary 3, file " + fakeDigest, "temperature 0.8, top_k 0",
			"parameters 35 (140 B as float32)", "proxy.0.weight 3 × 8", "proxy.1.bias 2", "algorithm ppo", "episodes 64"},
		learn.BestCheckpoint: {"kind checkpoint", "episodes 64, last validated after 64", "reward 0.5, perplexity 2.5", "reward -1, perplexity 2",
			"actor.0.weight 3 × 8", "critic.1.weight 1 × 3"},
	} {
		out, err := command(t, "inspect", filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		flat := strings.Join(strings.Fields(out), " ")
		for _, w := range want {
			if !strings.Contains(flat, w) {
				t.Errorf("%s: no %q in\n%s", file, w, out)
			}
		}
	}
	out, err := command(t, "inspect", "--json", filepath.Join(dir, proxyFile))
	if err != nil {
		t.Fatal(err)
	}
	var in inspection
	if err := json.Unmarshal([]byte(out), &in); err != nil {
		t.Fatalf("%v of\n%s", err, out)
	}
	m, err := proxy.Open(filepath.Join(dir, proxyFile))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.
	for _, w := range m.Layers[0].Weight {
		sum += float64(w) * float64(w)
	}
	if in.Kind != "proxy" || in.Parameters != 35 || len(in.Tensors) != 4 || math.Abs(in.Tensors[0].Norm-math.Sqrt(sum)) > 1e-9 || !slices.Equal(in.Tensors[0].Shape, []int{3, 8}) {
		t.Errorf("as JSON: %+v", in)
	}
}

// A checkpoint of SAC has more networks.
func TestInspectSAC(t *testing.T) {
	o := sac.DefaultOptions()
	o.HiddenSizes = []int{3}
	agent, err := sac.New(8, o, "")
	if err != nil {
		t.Fatal(err)
	}
	state, err := agent.State()
	if err != nil {
		t.Fatal(err)
	}
	in := inspectCheckpoint(&learn.State{Algorithm: config.SAC, SAC: &state, Base: fakeBase})
	var names []string
	for _, tensor := range in.Tensors {
		names = append(names, tensor.Name)
	}
	for _, want := range []string{"actor.0.weight", "critic.0.0.weight", "critic.1.1.bias", "target.1.0.weight"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %v", want, names)
		}
	}
}

func TestImportCommand(t *testing.T) {
	f := newFakeServer(t)
	actor := filepath.Join("pytorch", "testdata", "published.pth")
	for name, args := range map[string][]string{
		"asked from a server": {"--model", "m", "--host", f.host(), "--features", "prefix"},
		"told":                {"--base-architecture", "llama", "--base_embedding_length", "4", "--base-vocab-size", "3", "--base-digest", fakeDigest},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "helpful.gguf")
			printed, err := command(t, append([]string{"import", actor, "--out", out, "--accept-action", "1", "--p_t", "0.05", "--top-k", "40", "--reward", "helpful"}, args...)...)
			if err != nil {
				t.Fatal(err)
			}
			m, err := proxy.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			if m.Base != fakeBase || m.Features != proxy.Prefix || m.Pool.PT != .05 || m.Pool.TopK != 40 || m.Training["reward"] != "helpful" || m.Training["source"] != "published.pth" {
				t.Errorf("the file says %+v", m.Config)
			}
			for _, want := range []string{"proxy.norm.weight", "16 × 8", "ADAPTER ./helpful.gguf"} {
				if !strings.Contains(printed, want) {
					t.Errorf("no %q in\n%s", want, printed)
				}
			}
		})
	}
}

// The doctor fails if a check does, and takes a configuration that cannot be loaded for one.
func TestDoctorCommand(t *testing.T) {
	down := newFakeServer(t)
	down.Close()
	t.Chdir(t.TempDir()) // the defaults' files are not there
	out, err := command(t, "doctor", "--json", "--config", file(t, "c.yaml", "reward: {type: vader}\nollama: {host: \""+down.host()+"\"}\nppo: {gama: 1}\nproxy: {p_tt: 1}\n"))
	if err == nil || !strings.Contains(err.Error(), "checks failed") {
		t.Errorf("error %v", err)
	}
	var findings []doctor.Finding
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		t.Fatalf("%v of\n%s", err, out)
	}
	var found []string
	for _, f := range findings {
		if f.Status == doctor.Fail {
			found = append(found, f.Check)
		}
	}
	// The two wrong keys, the default's prompts and its binary.
	if d := cmp.Diff([]string{"configuration", "configuration", "prompts", "server"}, found); d != "" {
		t.Errorf("failed −want +got\n%s of %+v", d, findings)
	}
	if !strings.Contains(findings[0].Found, `did you mean "ppo.gamma"`) || !strings.Contains(findings[1].Found, `"proxy.p_t"`) {
		t.Errorf("configuration: %+v", findings[:2])
	}

	prompts := somePrompts(t)
	out, err = command(t, "doctor", "--reward.type", "vader", "--ollama.host", down.host(), "--prompts.path", prompts, "--prompts.hold_out", "0", "--prompts.validation", "2")
	if err == nil || !strings.Contains(err.Error(), "1 of ") {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"fail  server", "no Ollama answers at " + down.host(), "→ start bin/ollama serve", "ok    prompts"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
