//go:build patched

package integration

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ollama/ollama/fs/ggml"
	quantization "github.com/ollama/ollama/ml/backend/ggml"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// BenchmarkTraining times the demo's training (rollouts with features, rewards, updates, pushes of weights, checkpoints), and in
// turn with it plain decoding by the stock build: the same prompts, as many replies of the same length at once. It reports the
// medians of the paired ratios of tokens a second, the trainer's resident memory, and the ratio to a loop of PyTorch, one reply
// at a time with hidden states, if there is a Python with torch, transformers and gguf (PROXY_RLHF_PYTHON, or python3). All of it
// with the model as it is and with its matrices in bfloat16, which some CPUs multiply faster, here and in PyTorch, and that with
// flash attention too, which passes over the other requests' part of the cache.
func BenchmarkTraining(b *testing.B) {
	loops := torchLoop(b)
	const bfloat16 = "smollm2:135m-bf16"
	file := inBFloat16(b)
	ways := []struct {
		name, model, file string
		environment       []string // of both servers
	}{
		{"as it is", model, modelFile, nil},
		{"bfloat16", bfloat16, file, nil},
		{"bfloat16, flash attention", bfloat16, file, []string{"OLLAMA_FLASH_ATTENTION=1"}},
	}
	c := config.Default()
	c.Prompts.Path = root("configs", "prompts.jsonl")
	train, _, err := prompts.Load(c.Prompts.Options)
	check(b, err)
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			const rounds, episodes, parallel = 3, 384, 32
			stock := start(b, "bench/plain, "+w.name, root("bin", "ollama-stock"), append(w.environment, "OLLAMA_NEW_ENGINE=1",
				fmt.Sprint("OLLAMA_NUM_PARALLEL=", parallel), fmt.Sprint("OLLAMA_CONTEXT_LENGTH=", c.Ollama.ContextLength), "OLLAMA_MAX_QUEUE=1024")...)
			data, err := os.ReadFile(w.file)
			check(b, err)
			stock.create(b, w.model, map[string]any{"files": map[string]string{"model.gguf": stock.push(b, data)}})
			client, err := env.NewClient(stock.host)
			check(b, err)
			check(b, client.Load(context.Background(), w.model))
			for range b.N {
				var ratios []float64
				var training, plain []float64
				var resident int64
				for round := range rounds {
					speed, memory := trainingSpeed(b, w.model, w.file, w.environment, filepath.Join(b.TempDir(), "run"), episodes, parallel, round+1)
					training = append(training, speed)
					plain = append(plain, plainSpeed(b, client, w.model, train, episodes, c.Tokens, parallel, round))
					ratios = append(ratios, training[round]/plain[round])
					resident = max(resident, memory)
				}
				b.Logf("tokens/s: training %.0f, plain decoding by stock %.0f, ratio %.2f %.2f; trainer's resident memory %d MB; PyTorch's loop %v",
					median(training), median(plain), median(ratios), ratios, resident>>20, loops)
				b.ReportMetric(median(ratios), "training/plain")
				b.ReportMetric(float64(resident>>20), "trainer-MB")
				for name, speed := range loops {
					b.ReportMetric(median(training)/speed, "training/torch_"+name)
				}
			}
		})
	}
}

// inBFloat16 writes the test model with its matrices in bfloat16 and returns the file's path.
func inBFloat16(b *testing.B) string {
	b.Helper()
	data, err := os.ReadFile(modelFile)
	check(b, err)
	g, err := ggml.Decode(bytes.NewReader(data), -1)
	check(b, err)
	kv := g.KV()
	kv["general.file_type"] = uint32(ggml.FileTypeBF16)
	tensors := g.Tensors().Items()
	for _, t := range tensors {
		from := data[g.Tensors().Offset+t.Offset:][:t.Size()]
		if ggml.TensorType(t.Kind) == ggml.TensorTypeF32 {
			t.WriterTo = bytes.NewReader(from)
			continue
		}
		var to []byte
		for _, x := range quantization.ConvertToF32(from, t.Kind, t.Elements()) {
			bits := math.Float32bits(x)
			to = binary.LittleEndian.AppendUint16(to, uint16((bits+0x7fff+bits>>16&1)>>16)) // to the nearest, ties to even
		}
		t.Kind, t.WriterTo = uint32(ggml.TensorTypeBF16), bytes.NewReader(to)
	}
	out, err := os.Create(filepath.Join(b.TempDir(), "bfloat16.gguf"))
	check(b, err)
	check(b, ggml.WriteGGUF(out, kv, tensors))
	check(b, out.Close())
	return out.Name()
}

// trainingSpeed trains as the demo does, without validations between, and returns the tokens a second from the first update's end
// to the last one's, and the trainer's largest resident memory in bytes.
func trainingSpeed(b *testing.B, model, file string, environment []string, dir string, episodes, parallel, seed int) (speed float64, resident int64) {
	b.Helper()
	cmd := trainer(append([]string{
		"train", "--config", root("configs", "direct.yaml"), "--run", dir, "--prompts.path", root("configs", "prompts.jsonl"),
		"--episodes", fmt.Sprint(episodes), "--seed", fmt.Sprint(seed), "--ollama.parallel", fmt.Sprint(parallel), "--eval.every", "0", "--prompts.validation", "8", "--eval.max_perplexity_ratio", "0", "--model", model,
	}, append(where(), "--model_file", file)...)...)
	cmd.Env = append(cmd.Env, environment...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	resident, err := watch(cmd)
	if err != nil {
		b.Fatalf("%v\n%s", err, &out)
	}
	records, err := run.ReadMetrics(dir)
	check(b, err)
	var first, last time.Time
	tokens, n := 0.0, 0.0
	for _, r := range records {
		length, ok := r.Metrics["charts/episodic_length"]
		if !ok {
			continue
		}
		if first.IsZero() {
			first, n = r.Time, float64(r.Step) // the batch size
			continue
		}
		last = r.Time
		tokens += n * length
	}
	return tokens / last.Sub(first).Seconds(), resident
}

// watch runs a command and returns the largest resident memory that its process had, in bytes. What the system says of an ended
// process is of its children too, and the trainer's are the server and the model.
func watch(cmd *exec.Cmd) (resident int64, err error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return resident, err
		case <-time.After(100 * time.Millisecond):
			data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			_, rest, _ := strings.Cut(string(data), "VmHWM:")
			var kib int64
			_, _ = fmt.Sscan(rest, &kib) // none of a process that has just ended
			resident = max(resident, kib<<10)
		}
	}
}

// plainSpeed is the tokens a second of as many plain replies to the training prompts.
func plainSpeed(b *testing.B, client *env.Client, model string, train []prompts.Prompt, replies, tokens, parallel, round int) float64 {
	b.Helper()
	requests := make([]env.Request, replies)
	for i := range requests {
		requests[i] = env.Request{Model: model, Prompt: train[i%len(train)], Options: map[string]any{"num_predict": tokens, "seed": round*replies + i}}
	}
	start := time.Now()
	out, err := env.Rollout(context.Background(), client, requests, parallel, nil)
	check(b, err)
	n := 0
	for i := range out {
		n += out[i].Tokens
	}
	return float64(n) / time.Since(start).Seconds()
}

// torchLoop returns the tokens a second of torch_decode.py by number format, nil where there is no Python for it.
func torchLoop(b *testing.B) map[string]float64 {
	b.Helper()
	python := pythonWith(b, "torch", "transformers", "gguf")
	if python == "" {
		return nil
	}
	cmd := exec.Command(python, root("integration", "torch_decode.py"), modelFile)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("torch_decode.py: %v\n%s", err, &stderr)
	}
	var speeds map[string]float64
	check(b, json.Unmarshal(out, &speeds))
	return speeds
}
