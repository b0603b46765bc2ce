package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every bad input is one line that names the thing, its value and what to do, before the first reply is asked for and before a
// run folder is made.
func TestBadInput(t *testing.T) {
	f := newFakeServer(t)
	old := newFakeServer(t)
	old.handlers["/api/proxy/tokens"] = http.NotFound
	stock := newFakeServer(t)
	stock.handlers["/api/version"] = answer(http.StatusOK, `{"version":"0.24.0"}`)
	closedToFeatures := newFakeServer(t)
	closedToFeatures.handlers["/api/version"] = answer(http.StatusOK, strings.Replace(fakeVersion, "true", "false", 1))
	empty := newFakeServer(t)
	empty.handlers["/api/show"] = answer(http.StatusNotFound, `{"error":"model 'm' not found"}`)
	web := newFakeServer(t)
	web.handlers["/api/version"] = answer(http.StatusOK, "<html>")
	down := newFakeServer(t)
	down.Close()

	prompts := somePrompts(t)
	yaml := func(text string) string { return file(t, "c.yaml", text) }
	jsonl := func(text string) string { return file(t, "p.jsonl", text) }
	aFile := file(t, "file", "x")
	const reward = "reward: {type: vader}\n"

	for _, tc := range []struct {
		name  string
		flags []string
		want  []string // all of them in the one line
	}{
		// Keys, types and ranges, wherever they are set.
		{"no configuration file", []string{"--config", "nowhere.yaml"}, []string{"nowhere.yaml", "no such file"}},
		{"a folder as configuration", []string{"--config", t.TempDir()}, []string{"is a directory"}},
		{"not YAML", []string{"--config", yaml("a: [\n")}, []string{"c.yaml", "yaml: line 1"}},
		{"an unknown key", []string{"--config", yaml("ppo: {learning_rte: 1}\n" + reward)}, []string{"c.yaml", `unknown key "ppo.learning_rte"`, `did you mean "ppo.learning_rate"`}},
		{"a flag for a section", []string{"--reward", "vader"}, []string{"unknown flag --reward", "--reward.type", "configuration file"}},
		{"an unknown flag", []string{"--ppo.learning_rte", "1"}, []string{"--ppo.learning_rte", "did you mean --ppo.learning_rate"}},
		{"an unknown section", []string{"--config", yaml("propmts: {path: x}\n" + reward)}, []string{`unknown key "propmts"`, `did you mean "prompts"`}},
		{"an argument", []string{"direct"}, []string{"direct", "train"}},
		{"a key twice", []string{"--config", yaml("seed: 1\nseed: 2\n" + reward)}, []string{"c.yaml", `line 2: mapping key "seed" already defined at line 1`}},
		{"text for a number", []string{"--episodes", "many"}, []string{"--episodes", `"many"`, "whole number"}},
		{"a fraction for a whole number", []string{"--batch_size", "1.5"}, []string{"--batch_size", "1.5", "whole number"}},
		{"a number without its unit", []string{"--ollama.timeout", "10"}, []string{"--ollama.timeout", `"10"`, "such as 90s"}},
		{"text for yes or no", []string{"--dense=often"}, []string{"--dense", "often", "true or false"}},
		{"text for a list of numbers", []string{"--proxy.hidden_sizes", "big"}, []string{"hidden_sizes", "big", "whole number"}},
		{"NaN", []string{"--proxy.p_t", "NaN"}, []string{"proxy.p_t", "NaN", "finite number"}},
		{"p_t", []string{"--proxy.p_t", "2"}, []string{"flag --proxy.p_t: proxy.p_t is 2, want 0 (any) to 1"}},
		{"temperature", []string{"--proxy.temperature", "-1"}, []string{"proxy.temperature is -1, want 0 or more"}},
		{"features", []string{"--proxy.features", "suffix"}, []string{`proxy.features is "suffix", want prefix or lookahead`}},
		{"activation", []string{"--proxy.activation", "gelu"}, []string{`proxy.activation is "gelu", want relu, tanh or silu`}},
		{"a hidden layer of nothing", []string{"--proxy.hidden_sizes", "4,0"}, []string{"proxy.hidden_sizes[1] is 0, want 1 or more"}},
		{"cutoff", []string{"--proxy.cutoff", "1.5"}, []string{"proxy.cutoff is 1.5, want 0 to 1"}},
		{"episodes", []string{"--episodes", "10"}, []string{"episodes is 10, want a multiple of batch_size, such as 12"}},
		{"a learning rate below 0", []string{"--ppo.learning_rate", "-1"}, []string{"ppo.learning_rate", "-1"}},
		{"a name that is no file name", []string{"--name", "a/b"}, []string{`name is "a/b", want 1 to 80 letters`}},
		{"no room for a reply", []string{"--ollama.context_length", "8"}, []string{"ollama.context_length is 8, want room for the prompt and 44 tokens"}},
		{"no room for a prompt", []string{"--prompts.max_tokens", "500"}, []string{"prompts.max_tokens is 500, want 468 at most"}},

		// Rewards.
		{"no reward", []string{"--reward.type", ""}, []string{`reward.type is ""`, "want what to train for: one of command", "vader"}},
		{"an unknown reward", []string{"--reward.type", "joy"}, []string{"reward.type", `"joy"`, "vader"}},
		{"a pattern that is none", []string{"--reward.type", "regexp", "--reward.pattern", "("}, []string{"reward.pattern", "missing closing"}},
		{"a reward's key of another type", []string{"--reward.pattern", "x"}, []string{"reward.pattern", "vader"}},
		{"a URL that is none", []string{"--dense=false", "--reward.type", "http", "--reward.url", "scores"}, []string{"reward.url", `"scores"`}},
		{"dense pay for what has no parts", []string{"--reward.type", "http", "--reward.url", "http://x"}, []string{"dense is true, want false"}},
		{"a reward that does not answer", []string{"--dense=false", "--reward.type", "http", "--reward.url", down.URL, "--reward.retries", "-1"}, []string{down.host(), "try 1 of 1"}},

		// Prompts.
		{"no prompts", []string{"--prompts.path", "nowhere.jsonl"}, []string{"nowhere.jsonl", "no such file"}},
		{"a folder of prompts", []string{"--prompts.path", t.TempDir()}, []string{"is a directory"}},
		{"an empty file", []string{"--prompts.path", jsonl("")}, []string{"p.jsonl: no records"}},
		{"a line that is no JSON", []string{"--prompts.path", jsonl("\"a\"\nb\n")}, []string{"p.jsonl:2: want a JSON object or string"}},
		{"a key that is not there", []string{"--prompts.key", "question"}, []string{":1: no prompt under question", `["label" "prompt"]`, "name the key"}},
		{"damaged Parquet", []string{"--prompts.path", jsonl("PAR1 and no more")}, []string{"p.jsonl: the Parquet file is damaged"}},
		{"too few for validation", []string{"--prompts.validation", "13"}, []string{"prompts.validation: want fewer than the 13 training prompts, got 13"}},
		{"too few to hold out", []string{"--prompts.hold_out", "9"}, []string{"hold_out: want 9 prompts", "raise reserve, lower hold_out"}},
		{"all too long", []string{"--prompts.max_characters", "3"}, []string{"no prompts of at most 3 characters", "raise max_characters"}},
		{"all of too many tokens", []string{"--prompts.max_tokens", "1"}, []string{"none of 13 prompts has at most 1 tokens", "raise max_tokens"}},
		{"tokens that nobody counts", []string{"--prompts.max_tokens", "9", "--ollama.host", old.host()}, []string{"max_tokens", old.host(), "make build"}},

		// Servers and models.
		{"no host", []string{"--ollama.host", "a b"}, []string{`ollama.host is "a b", want one address`}},
		{"nobody there", []string{"--ollama.host", down.host()}, []string{"no Ollama answers at " + down.host(), "start bin/ollama serve"}},
		{"another program", []string{"--ollama.host", web.host()}, []string{web.host(), "not an Ollama server"}},
		{"a stock server", []string{"--ollama.host", stock.host()}, []string{stock.host(), "has no proxies", "start bin/ollama serve"}},
		{"not for rollouts", []string{"--ollama.host", closedToFeatures.host()}, []string{closedToFeatures.host(), "OLLAMA_PROXY_ROLLOUT=1"}},
		{"no binary", []string{"--ollama.host", "", "--ollama.binary", "nowhere/ollama"}, []string{"ollama.binary", "nowhere/ollama", "make build"}},
		{"a model that is nowhere", []string{"--ollama.host", empty.host(), "--model", "m", "--model_file", "nowhere.gguf"}, []string{"model m", `model_file "nowhere.gguf"`, "make model"}},

		// The run folder.
		{"a run folder that is a file", []string{"--run", aFile}, []string{aFile, "run: "}},
		{"a run folder below a file", []string{"--run", filepath.Join(aFile, "run")}, []string{aFile, "not a directory"}},
	} {
		for _, dry := range []bool{false, true} {
			name := tc.name
			if dry {
				name += ", dry"
				if slices.Contains(tc.flags, "--run") {
					continue // it writes no folder
				}
			}
			t.Run(name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "run")
				args := []string{"train", "--run", dir, "--reward.type", "vader", "--prompts.path", prompts, "--prompts.hold_out", "0", "--prompts.validation", "2",
					"--episodes", "8", "--batch_size", "4", "--proxy.hidden_sizes", "3", "--ollama.host", f.host(), "--ollama.store", t.TempDir()}
				if slices.Contains(tc.flags, "--config") {
					args = slices.Delete(args, 3, 5) // the file says the reward
				}
				args = append(args, tc.flags...)
				if dry {
					args = append(args, "--dry-run")
				}
				_, err := command(t, args...)
				if err == nil {
					t.Fatal("no error")
				}
				for _, want := range tc.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("no %q in %q", want, err)
					}
				}
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("more than one line:\n%v", err)
				}
				if entries, _ := filepath.Glob(filepath.Join(dir, "*.ckpt")); len(entries) > 0 {
					t.Errorf("a run began: %v", entries)
				}
			})
		}
	}
	for _, s := range []*fakeServer{f, old, stock, closedToFeatures, empty, web} {
		if n := s.chats.Load(); n != 0 {
			t.Errorf("%d replies were asked for", n)
		}
	}
}

// The commands that take a file.
func TestBadFiles(t *testing.T) {
	f := newFakeServer(t)
	f.handlers["/api/show"] = answer(http.StatusNotFound, `{"error":"model 'm' not found"}`)
	text := file(t, "text.gguf", "not a GGUF file at all")
	damaged := file(t, "x.ckpt", "PRLHFCK1 and then nothing that makes sense, though it is long enough to have a checksum at its end")
	actor := filepath.Join("pytorch", "testdata", "published.pth")
	dir, flags := trainedRun(t)
	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"inspect nothing", []string{"inspect", "nowhere.gguf"}, []string{"nowhere.gguf", "no such file"}},
		{"inspect another file", []string{"inspect", text}, []string{"text.gguf", "this is not a GGUF file"}},
		{"inspect a damaged checkpoint", []string{"inspect", damaged}, []string{"x.ckpt", "checksum is wrong", "use another one"}},
		{"inspect two", []string{"inspect", "a", "b"}, []string{"accepts 1 arg(s), received 2"}},
		{"export from nowhere", []string{"export", "--run", filepath.Join(t.TempDir(), "none"), "--reward.type", "vader"}, []string{"there is no folder", "train first, or set --run"}},
		{"export what is not there", slices.Concat([]string{"export"}, flags, []string{"--checkpoint", "bset"}), []string{`--checkpoint "bset"`, "want best, last, or the path"}},
		{"export a damaged checkpoint", slices.Concat([]string{"export"}, flags, []string{"--checkpoint", damaged}), []string{"x.ckpt", "checksum is wrong"}},
		{"export with other features", slices.Concat([]string{"export"}, flags, []string{"--proxy.features", "lookahead"}), []string{"lookahead features of embedding length 4 are 4 values, but the agent was made for 8"}},
		{"import without the actions", []string{"import", actor, "--base-embedding-length", "8"}, []string{"--accept-action is -1, want the action that accepts: 0 as in the paper, or 1"}},
		{"import without a model", []string{"import", actor, "--accept-action", "1"}, []string{"--base-embedding-length is 0", "name the LLM with --model"}},
		{"import with two", []string{"import", actor, "--accept-action", "1", "--model", "m", "--base-vocab-size", "3"}, []string{"--model m and --base-… flags", "leave out one"}},
		{"import for no such model", []string{"import", actor, "--accept-action", "1", "--model", "m", "--host", f.host()}, []string{"--model: model m: model 'm' not found", f.host(), "pull it there"}},
		{"import nothing", []string{"import", "nowhere.pth", "--accept-action", "1", "--base-embedding-length", "8"}, []string{"nowhere.pth", "no such file"}},
		{"import another file", []string{"import", text, "--accept-action", "1", "--base-embedding-length", "8"}, []string{"text.gguf", "neither a .pth nor a .safetensors file"}},
		{"import for another model", []string{"import", actor, "--accept-action", "1", "--base-embedding-length", "5"}, []string{"1.weight takes 8 values, want 5 (lookahead) or 10 (prefix)"}},
		{"import into another pool", []string{"import", actor, "--accept-action", "1", "--base-embedding-length", "8", "--p-t", "2", "--out", filepath.Join(dir, "x.gguf")}, []string{"proxy_rlhf.p_t is 2"}},
		{"import to nowhere", []string{"import", actor, "--accept-action", "1", "--base-embedding-length", "8", "--out", filepath.Join(dir, "none", "x.gguf")}, []string{"x.gguf", "no such file"}},
		{"a command that is none", []string{"trian"}, []string{`unknown command "trian": did you mean train?`}},
		{"a command like none", []string{"xyzzy"}, []string{`unknown command "xyzzy": see proxy-trainer --help`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := command(t, tc.args...)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %q", want, err)
				}
			}
			if strings.Contains(strings.TrimSpace(err.Error()), "\n") {
				t.Errorf("more than one line:\n%v", err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "x.gguf")); err == nil {
		t.Error("a proxy was written that cannot be")
	}
}
