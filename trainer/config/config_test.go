package config

import (
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
)

// valid is the default with a reward.
func valid() Config {
	c := Default()
	c.Reward = reward.Spec{Type: reward.TypeVADER}
	return c
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// minimal is the shortest file that makes a valid configuration.
const minimal = "reward: {type: vader}\n"

func mustLoad(t *testing.T, text string, args, environ []string) Config {
	t.Helper()
	c, err := load(t, text, args, environ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func load(t *testing.T, text string, args, environ []string) (Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.Bool("verbose", false, "one of the program's own")
	AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		return Config{}, err
	}
	return Load(write(t, text), fs, environ)
}

func TestDefaultIsValidButForTheReward(t *testing.T) {
	err := Default().Validate()
	if want := `config: reward.type is "", want what to train for: one of ` + strings.Join(reward.Types(), ", "); err == nil || err.Error() != want {
		t.Errorf("Default().Validate() = %v, want %s", err, want)
	}
	if err := valid().Validate(); err != nil {
		t.Error(err)
	}
	if w := valid().Warnings(); w != nil {
		t.Errorf("warnings of the default: %q", w)
	}
	if diff := cmp.Diff(valid(), mustLoad(t, minimal, nil, nil)); diff != "" {
		t.Errorf("a minimal file (-default +loaded):\n%s", diff)
	}
}

func TestEveryKnobIsNamedAndExplained(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*[0-9]?)?$`)
	env := map[string]string{}
	unused := map[string]bool{}
	for key := range borrowed {
		unused[key] = true
	}
	for _, f := range knobs() {
		delete(unused, f.key)
		if !snake.MatchString(f.key) {
			t.Errorf("%s: want snake_case, in one section at most", f.key)
		}
		if f.help == "" {
			t.Errorf("%s has no help: give it a tag doc, or an entry in borrowed", f.key)
		}
		if strings.ContainsAny(f.help, "`\n") || strings.HasSuffix(f.help, ".") {
			t.Errorf("%s: help %q: want one line without a full stop or backquotes", f.key, f.help)
		}
		if other := env[f.env()]; other != "" {
			t.Errorf("%s and %s share %s", f.key, other, f.env())
		}
		env[f.env()] = f.key
	}
	for key := range unused {
		t.Errorf("borrowed explains %s, which is no knob", key)
	}
}

// Every exported field is a knob or derived: none is forgotten for want of a tag.
func TestEveryFieldIsReached(t *testing.T) {
	var count func(reflect.Type) int
	count = func(typ reflect.Type) int {
		n := 0
		for f := range typ.Fields() {
			if f.Type.Kind() == reflect.Struct {
				n += count(f.Type)
			} else if f.IsExported() {
				n++
			}
		}
		return n
	}
	if got, want := len(knobs())+len(derived), count(reflect.TypeFor[Config]()); got != want {
		t.Errorf("%d knobs and derived fields, but the struct has %d", got, want)
	}
}

func TestConfigsOfTheRepository(t *testing.T) {
	direct := valid()
	direct.Name = "direct"
	direct.Reward = reward.Spec{Type: reward.TypeRegexp, Pattern: reward.FirstPerson, PerMatch: -1}
	direct.Proxy.HiddenSizes = []int{256}
	direct.Eval.MaxPerplexityRatio = 1.15
	cheerful := valid()
	cheerful.Name = "cheerful"
	cheerful.Proxy.HiddenSizes = []int{256}
	cheerful.Episodes, cheerful.Tokens, cheerful.Eval.MaxPerplexityRatio = 960, 40, 1.4
	cheerful.Prompts.Validation, cheerful.Eval.Every = 64, 320
	cheerful.PPO.Gamma, cheerful.PPO.MinibatchSize = .7, 128
	cheerful.PPO.LearningRate, cheerful.RejectionCost = 6e-4, .005
	brief := cheerful
	brief.Name = "brief"
	brief.Reward = reward.Spec{Type: reward.TypeLength, Unit: reward.UnitWords, Target: 40}
	brief.Tokens, brief.Eval.MaxPerplexityRatio, brief.RejectionCost = 128, 1.5, .01
	brief.PPO = direct.PPO
	plain := cheerful
	plain.Name = "plain"
	plain.Reward = reward.Spec{Type: reward.TypeSum, Terms: []reward.Spec{
		{Name: "long_words", Type: reward.TypeRegexp, Pattern: `\pL{7,}`, PerMatch: -1, Weight: new(.2)},
		{Name: "sentences", Type: reward.TypeLength, Unit: reward.UnitWordsPerSentence, Weight: new(-.02)},
		{Name: "word_length", Type: reward.TypeLength, Unit: reward.UnitWordLength, Weight: new(0.0)},
	}}
	safe := direct
	safe.Name = "safe"
	safe.Reward = reward.Spec{Type: reward.TypeSum, Terms: []reward.Spec{
		{Type: reward.TypeHead, Head: "runs/safe/reward.gguf"},
		{Type: reward.TypeDistinct, Weight: new(2.0)},
		{Type: reward.TypeRepetition},
	}}
	safe.Prompts.Path = "runs/safe/prompts.jsonl"
	safe.Episodes, safe.Tokens = 768, 40
	safe.Prompts.Validation, safe.Eval.Every, safe.Eval.MaxPerplexityRatio = 64, 192, 1.3
	sweep := direct
	sweep.Name, sweep.Episodes, sweep.Tokens, sweep.Prompts.Validation = "sweep", 192, 32, 24
	sweep.Eval.Every, sweep.Eval.MaxPerplexityRatio, sweep.Eval.Prompts = 64, 0, 48
	sweep.Sweep = Sweep{Seeds: 3, Grid: paperGrid}
	for _, own := range []*Config{&direct, &cheerful, &brief, &plain, &safe, &sweep} {
		own.Prompts.HoldOut = 192
		*own = own.Complete()
	}
	for _, want := range []Config{direct, cheerful, brief, plain, safe, sweep, paper().Complete(), mara().Complete()} {
		path := filepath.Join("..", "..", "configs", want.Name+".yaml")
		got, err := Load(path, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		if w := got.Warnings(); w != nil {
			t.Errorf("%s: warnings %q", path, w)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		uncommented := regexp.MustCompile(`(?m)^ *[a-z_]+: *[^# \n][^#\n]*$`)
		if m := uncommented.FindAllString(string(text), -1); m != nil {
			t.Errorf("%s: keys without a comment: %q", path, m)
		}
		for _, f := range knobs() {
			optional := strings.HasPrefix(f.key, "reward.") || strings.HasPrefix(f.key, "sweep.")
			if !optional && !strings.Contains(string(text), f.name()+": ") {
				t.Errorf("%s lacks %s", path, f.key)
			}
		}
	}
}

// paperGrid are the values of the paper's Table 2 and Figure 3.
var paperGrid = map[string][]string{"proxy.p_t": {"0.1", "0.01", "0.001", "0.0001"}, "proxy.temperature": {"0.25", "0.5", "0.75", "1.0"}}

// large is what the configurations for a GPU share.
func large() Config {
	c := valid()
	c.ModelFile, c.Ollama.ContextLength, c.Ollama.Timeout = "", 1024, 10*time.Minute
	c.Prompts.Validation = 128
	c.Proxy.Features, c.Proxy.TopP = proxy.Lookahead, .95
	c.Reward = reward.Spec{Type: reward.TypeHTTP, URL: "http://127.0.0.1:5000/score", Timeout: 3 * time.Minute, Retries: 4}
	c.Dense, c.Tokens = false, 256
	c.PPO.LearningRate, c.PPO.CriticLearningRate, c.PPO.MinibatchSize = 3e-4, 3e-4, 1024
	return c
}

func paper() Config {
	c := large()
	c.Name, c.Model = "paper", "llama2:7b"
	c.Prompts.Path, c.Prompts.Key, c.Prompts.HoldOut = "hh-helpful.jsonl.gz", "chosen", 1899
	c.Prompts.MaxCharacters, c.Prompts.MaxTokens = 0, 256
	c.Proxy.HiddenSizes, c.Proxy.Temperature = []int{2048}, 1
	c.RejectionCost, c.Episodes, c.PPO.GAELambda = 0, 36032, .95
	c.Eval.Every, c.Eval.MaxPerplexityRatio, c.Eval.BestOf = 512, 0, []int{32}
	c.Sweep = Sweep{Seeds: 1, Grid: paperGrid}
	return c
}

func mara() Config {
	c := large()
	c.Name, c.Model = "mara", "llama3.1:8b"
	c.Prompts.Path, c.Prompts.HoldOut = "prompts.jsonl", 0
	c.Proxy.HiddenSizes, c.Proxy.TopK = []int{1024, 256}, 40
	c.Episodes, c.Eval.Every, c.Eval.MaxPerplexityRatio = 8192, 1024, 1.5
	return c
}

func TestParameters(t *testing.T) {
	for _, c := range []struct {
		hidden          []int
		inputs, outputs int
		want            int64
	}{
		{nil, 4, 2, 4*2 + 2},
		{[]int{3}, 4, 2, 4*3 + 3 + 3*2 + 2},
		{[]int{2048}, 4096, 2, 4096*2048 + 2048 + 2048*2 + 2}, // the paper's actor
		{[]int{5, 7}, 4, 1, 4*5 + 5 + 5*7 + 7 + 7 + 1},
	} {
		if got := (Proxy{HiddenSizes: c.hidden}).Parameters(c.inputs, c.outputs); got != c.want {
			t.Errorf("%d → %v → %d has %d parameters, want %d", c.inputs, c.hidden, c.outputs, got, c.want)
		}
	}
}

// Every knob can be set in all places, and the later place wins.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		name          string
		file          string
		environ, args []string
		get           func(Config) any
		want          any
	}{
		{"file", "ppo: {learning_rate: 3e-4}", nil, nil,
			func(c Config) any { return c.PPO.LearningRate }, 3e-4},
		{"environment over file", "ppo: {learning_rate: 3e-4}", []string{"PROXY_RLHF_PPO_LEARNING_RATE=2e-4"}, nil,
			func(c Config) any { return c.PPO.LearningRate }, 2e-4},
		{"flag over environment", "ppo: {learning_rate: 3e-4}", []string{"PROXY_RLHF_PPO_LEARNING_RATE=2e-4"}, []string{"--ppo.learning_rate", "1e-4"},
			func(c Config) any { return c.PPO.LearningRate }, 1e-4},
		{"a flag can set the default again", "dense: false", nil, []string{"--dense"},
			func(c Config) any { return c.Dense }, true},
		{"a flag can set zero", "rejection_cost: 3", nil, []string{"--rejection_cost=0"},
			func(c Config) any { return c.RejectionCost }, 0.},
		{"an empty variable is none", "name: a", []string{"PROXY_RLHF_NAME="}, nil,
			func(c Config) any { return c.Name }, "a"},
		{"a key without a value is none", "name:\nollama:\n", nil, nil,
			func(c Config) any { return c.Name }, "proxy"},
		{"a key beside another in a section", "ollama: {parallel: 3}", []string{"PROXY_RLHF_OLLAMA_TIMEOUT=90s"}, []string{"--ollama.store", "s"},
			func(c Config) any { return c.Ollama },
			Ollama{Binary: "bin/ollama", Store: "s", Parallel: 3, ContextLength: 512, Timeout: 90 * time.Second}},
		{"a list replaces a longer one", "proxy: {hidden_sizes: [4, 3, 2]}", []string{"PROXY_RLHF_PROXY_HIDDEN_SIZES=8,7"}, nil,
			func(c Config) any { return c.Proxy.HiddenSizes }, []int{8, 7}},
		{"an empty list", "proxy: {hidden_sizes: []}", nil, nil,
			func(c Config) any { return c.Proxy.HiddenSizes }, []int(nil)},
		{"an empty list by flag", "", nil, []string{"--proxy.hidden_sizes="},
			func(c Config) any { return c.Proxy.HiddenSizes }, []int(nil)},
		{"one number for a list", "proxy: {hidden_sizes: 16}", nil, nil,
			func(c Config) any { return c.PPO.HiddenSizes }, []int{16}},
		{"named strings", "proxy: {activation: tanh}", nil, []string{"--proxy.features=lookahead"},
			func(c Config) any { return []any{c.Proxy.Features, c.PPO.Activation} }, []any{proxy.Lookahead, proxy.Tanh}},
		{"a large seed", "seed: 18446744073709551615", nil, nil,
			func(c Config) any { return c.PPO.Seed }, uint64(math.MaxUint64)},
		{"a whole number with an exponent", "episodes: 6.4e3", nil, nil,
			func(c Config) any { return c.Episodes }, 6400},
		{"a string that looks like a number", "name: 2024-01-01", nil, nil,
			func(c Config) any { return c.Name }, "2024-01-01"},
		{"records as YAML", "reward: {type: sum}", nil, []string{"--reward.terms", "[{type: vader, weight: .5}, {type: length, target: 20}]"},
			func(c Config) any { return c.Reward.Terms },
			[]reward.Spec{{Type: "vader", Weight: new(0.5)}, {Type: "length", Target: 20}}},
		{"a mapping keeps its case", "dense: false\nreward: {type: http, url: 'http://a', headers: {X-Key.a: $TOKEN}}", nil, nil,
			func(c Config) any { return c.Reward.Headers }, map[string]string{"X-Key.a": "$TOKEN"}},
		{"a record as YAML", "", nil, []string{"--eval.reward2", "{type: length, target: 20}"},
			func(c Config) any { return c.Eval.Reward2 }, &reward.Spec{Type: "length", Target: 20}},
		{"a record in the file", "eval: {judge: {model: 'm:1', rubric: short}}", nil, nil,
			func(c Config) any { return c.Eval.Judge }, &Judge{Model: "m:1", Rubric: "short"}},
		{"an empty flag takes a record away", "eval: {judge: {model: m}}", nil, []string{"--eval.judge="},
			func(c Config) any { return c.Eval.Judge }, (*Judge)(nil)},
		{"names with commas", "", nil, []string{"--eval.policies", "sample, proxy"},
			func(c Config) any { return c.Eval.Policies }, Policies{"sample", "proxy"}},
		{"numbers with commas", "", []string{"PROXY_RLHF_EVAL_BEST_OF=2,4"}, nil,
			func(c Config) any { return c.Eval.BestOf }, []int{2, 4}},
		{"anchors", "reward: {type: sum, terms: [&a {type: vader}, *a]}", nil, nil,
			func(c Config) any { return c.Reward.Terms }, []reward.Spec{{Type: "vader"}, {Type: "vader"}}},
		{"texts with commas", "", []string{"PROXY_RLHF_OLLAMA_HOSTS=a:1, b:2,[::1]:3"}, nil,
			func(c Config) any { return c.Ollama.Addresses() }, []string{"a:1", "b:2", "[::1]:3"}},
		{"a list of texts by flag", "ollama: {host: a, hosts: [x]}", nil, []string{"--ollama.hosts="},
			func(c Config) any { return c.Ollama.Addresses() }, []string{"a"}},
		{"a grid", "sweep: {seeds: 2, grid: {proxy.p_t: [0.1, 1e-2], proxy.temperature: 0.5}}", nil, nil,
			func(c Config) any { return c.Sweep },
			Sweep{Seeds: 2, Grid: map[string][]string{"proxy.p_t": {"0.1", "1e-2"}, "proxy.temperature": {"0.5"}}}},
		{"a grid by flag", "", nil, []string{"--sweep.grid", "{tokens: [8, 9]}"},
			func(c Config) any { return c.Sweep.Grid }, map[string][]string{"tokens": {"8", "9"}}},
		{"weights of words keep their case", "reward: {type: lexicon, words: {Good: 1, can't: -.5}}", nil, nil,
			func(c Config) any { return c.Reward.Words }, map[string]float64{"Good": 1, "can't": -.5}},
		{"a program and its arguments", "dense: false\nreward: {type: command}", []string{"PROXY_RLHF_REWARD_COMMAND=[python3, -u, my score.py]"}, nil,
			func(c Config) any { return c.Reward.Command }, []string{"python3", "-u", "my score.py"}},
		{"OLLAMA_HOST", "", []string{"OLLAMA_HOST=gpu:1"}, nil,
			func(c Config) any { return c.Ollama.Host }, "gpu:1"},
		{"our own variable before OLLAMA_HOST", "", []string{"PROXY_RLHF_OLLAMA_HOST=a:1", "OLLAMA_HOST=b:1"}, nil,
			func(c Config) any { return c.Ollama.Host }, "a:1"},
		{"variables of programs around us", "", []string{"PROXY_RLHF_BUILD_TREE=/x", "PROXY_RLHF_ALL_SEEDS=1", "HOME=/"}, []string{"--verbose"},
			func(c Config) any { return c.Seed }, uint64(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := c.file + "\n"
			if !strings.Contains(file, "reward:") {
				file += minimal
			}
			if diff := cmp.Diff(c.want, c.get(mustLoad(t, file, c.args, c.environ))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// wrong is what a user may write, and the error, with the file as FILE.
var wrong = []struct {
	name, file    string
	environ, args []string
	want          []string
}{
	{"a slip of the pen", "ppo: {learning_rte: 1}", nil, nil,
		[]string{`FILE: unknown key "ppo.learning_rte": did you mean "ppo.learning_rate"?`}},
	{"the wrong section", "learning_rate: 1", nil, nil,
		[]string{`FILE: unknown key "learning_rate": did you mean "ppo.learning_rate"?`}},
	{"another wrong section", "ppo: {hidden_sizes: [1]}", nil, nil,
		[]string{`FILE: unknown key "ppo.hidden_sizes": did you mean "proxy.hidden_sizes"?`}},
	{"a section", "promts: {path: x}", nil, nil,
		[]string{`FILE: unknown key "promts": did you mean "prompts"?`}},
	{"upper case", "Seed: 1", nil, nil,
		[]string{`FILE: unknown key "Seed": did you mean "seed"?`}},
	{"nothing like it", "eval: {xyzzy: 1}", nil, nil,
		[]string{`FILE: unknown key "eval.xyzzy": want one of every, max_perplexity_ratio, bootstrap_samples, prompts, policies`}},
	{"in a record", "eval: {reward2: {tipe: vader}}", nil, nil,
		[]string{`FILE: unknown key "eval.reward2.tipe": did you mean "eval.reward2.type"?`}},
	{"a value for a lone record", "eval: {judge: llama}", nil, nil,
		[]string{`FILE: eval.judge: want a mapping of keys to values, not "llama"`}},
	{"in a list", "reward: {type: sum, terms: [{type: vader}, {type: regexp, patern: x}]}", nil, nil,
		[]string{`FILE: unknown key "reward.terms[1].patern": did you mean "reward.terms[1].pattern"?`}},
	{"deep in lists", "reward: {type: sum, terms: [{type: sum, terms: [{tipe: vader}]}]}", nil, nil,
		[]string{`FILE: unknown key "reward.terms[0].terms[0].tipe": did you mean "reward.terms[0].terms[0].type"?`}},
	{"several at once", "sead: 1\nppo: {gama: 1, gamma: x}", nil, nil,
		[]string{`FILE: unknown key "sead"`, `FILE: unknown key "ppo.gama"`, `FILE: ppo.gamma: "x" is not a finite number`}},
	{"a variable", "", []string{"PROXY_RLHF_PPO_LEARNING_RTE=1"}, nil,
		[]string{`unknown environment variable PROXY_RLHF_PPO_LEARNING_RTE: did you mean PROXY_RLHF_PPO_LEARNING_RATE?`}},

	{"not a number", "ppo: {learning_rate: fast}", nil, nil,
		[]string{`FILE: ppo.learning_rate: "fast" is not a finite number`}},
	{"infinite", "ppo: {learning_rate: .inf}", nil, nil,
		[]string{`FILE: ppo.learning_rate: ".inf" is not a finite number`}},
	{"not whole", "batch_size: 1.5", nil, nil,
		[]string{`FILE: batch_size: "1.5" is not a whole number`}},
	{"a negative seed", "seed: -1", nil, nil,
		[]string{`FILE: seed: "-1" is not a whole number from 0`}},
	{"not a bool", "dense: 1", nil, nil,
		[]string{`FILE: dense: "1" is not true or false`}},
	{"no unit", "ollama: {timeout: 10}", nil, nil,
		[]string{`FILE: ollama.timeout: "10" is not a duration with its unit`}},
	{"a word in a list", "proxy: {hidden_sizes: [1, two]}", nil, nil,
		[]string{`FILE: proxy.hidden_sizes[1]: "two" is not a whole number`}},
	{"a list for a value", "name: [a]", nil, nil,
		[]string{`FILE: name: want a single value, not a list`}},
	{"a value for a section", "ppo: 3", nil, nil,
		[]string{`FILE: ppo: want a mapping of keys to values, not "3"`}},
	{"a value for records", "reward: {type: sum, terms: vader}", nil, nil,
		[]string{`FILE: reward.terms: want a list, not "vader"`}},
	{"a value for a record", "reward: {type: sum, terms: [vader]}", nil, nil,
		[]string{`FILE: reward.terms[0]: want a mapping of keys to values, not "vader"`}},
	{"a value for a mapping", "reward: {type: http, headers: x}", nil, nil,
		[]string{`FILE: reward.headers: want a mapping, not "x"`}},
	{"a list for the whole", "[1]", nil, nil,
		[]string{`FILE: want a mapping of keys to values, not a list`}},
	{"a key twice", "seed: 1\nseed: 2", nil, nil,
		[]string{`FILE: `, `already defined`}},
	{"not YAML", "a: [", nil, nil, []string{`FILE: yaml: `}},
	{"two documents", "seed: 1\n---\nseed: 2", nil, nil, []string{`FILE: more than one document`}},
	{"an anchor in itself", "reward: {type: sum, terms: &a [{type: sum, terms: *a}]}", nil, nil,
		[]string{`FILE: `, `anchor 'a' value contains itself`}},
	{"a variable of the wrong type", "", []string{"PROXY_RLHF_TOKENS=many"}, nil,
		[]string{`environment variable PROXY_RLHF_TOKENS: tokens: "many" is not a whole number`}},
	{"a flag of the wrong type", "", nil, []string{"--tokens=many"},
		[]string{`invalid argument "many" for "--tokens" flag: tokens: "many" is not a whole number`}},
	{"a flag that is not YAML", "", nil, []string{"--reward.terms=[{"},
		[]string{`reward.terms: "[{" is not YAML`}},

	{"out of range in the file", "proxy: {p_t: 2}", nil, nil,
		[]string{`FILE: proxy.p_t is 2, want 0 (any) to 1`}},
	{"out of range in the environment", "", []string{"PROXY_RLHF_EPISODES=0"}, nil,
		[]string{`environment variable PROXY_RLHF_EPISODES: episodes is 0, want 1 or more`}},
	{"out of range on the command line", "proxy: {p_t: 2}", nil, []string{"--proxy.p_t=-1", "--prompts.hold_out=-2"},
		[]string{`flag --proxy.p_t: proxy.p_t is -1, want 0`, `flag --prompts.hold_out: prompts.hold_out: -2 is below 0`}},
	{"a weight that is no number", "reward: {type: lexicon, words: {good: 1, bad: x}}", nil, nil,
		[]string{`FILE: reward.words.bad: "x" is not a finite number`}},
	{"a command that is no list", "reward: {type: command, command: python3 score.py}", nil, nil,
		[]string{`FILE: reward.command: want a list, not "python3 score.py"`}},
	{"no rubric", "dense: false\nreward: {type: ollama, model: m}", nil, nil,
		[]string{`FILE: reward.rubric: empty; say what`}},
	{"of a record on the command line", "", nil, []string{"--eval.reward2={type: joy}", "--eval.judge={host: h}"},
		[]string{`flag --eval.reward2: eval.reward2: type: unknown type "joy"`, `flag --eval.judge: eval.judge: model is "", want`}},
	{"another package's field", "reward: {type: sum, terms: [{type: regexp}]}\nppo: {gamma: 2}", nil, nil,
		[]string{`FILE: reward.terms[0]: pattern: empty`, `FILE: ppo.gamma is 2, want 0 to 1`}},
}

func TestWrong(t *testing.T) {
	for _, c := range wrong {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.file)
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			AddFlags(fs)
			err := fs.Parse(c.args)
			if err == nil {
				_, err = Load(path, fs, c.environ)
			}
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.ReplaceAll(err.Error(), path, "FILE")
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("the error is\n%s\nwithout\n%s", got, want)
				}
			}
		})
	}
}

func TestNoFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of no file: %v, want fs.ErrNotExist", err)
	}
	c, err := Load("", nil, []string{"PROXY_RLHF_REWARD_TYPE=vader"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(valid(), c); diff != "" {
		t.Errorf("without a file (-want +got):\n%s", diff)
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		`name is "a/b", want`:                                         func(c *Config) { c.Name = "a/b" },
		`name is "..", want`:                                          func(c *Config) { c.Name = ".." },
		`model is "", want`:                                           func(c *Config) { c.Model = "" },
		`ollama.host is "a,b", want one`:                              func(c *Config) { c.Ollama.Host = "a,b" },
		`ollama.binary is "", want`:                                   func(c *Config) { c.Ollama.Binary = "" },
		`ollama.store is "", want`:                                    func(c *Config) { c.Ollama.Store = "" },
		`ollama.parallel is -1, want`:                                 func(c *Config) { c.Ollama.Parallel = -1 },
		`ollama.hosts[1] is "", want one address`:                     func(c *Config) { c.Ollama.Hosts = []string{"a", ""} },
		`ollama.hosts[1] is "a", want each address once`:              func(c *Config) { c.Ollama.Hosts = []string{"a", "a"} },
		`sweep.seeds is -1, want`:                                     func(c *Config) { c.Sweep.Seeds = -1 },
		`sweep.grid: "seed" is not to be varied`:                      func(c *Config) { c.Sweep.Grid = map[string][]string{"seed": {"1"}} },
		`sweep.grid: "tokens" has no values`:                          func(c *Config) { c.Sweep.Grid = map[string][]string{"tokens": nil} },
		`sweep.grid: tokens has 4 twice`:                              func(c *Config) { c.Sweep.Grid = map[string][]string{"tokens": {"4", "5", "4"}} },
		`sweep.grid: tokens: "x" is not a whole number`:               func(c *Config) { c.Sweep.Grid = map[string][]string{"tokens": {"x"}} },
		`sweep.grid: unknown key "p_t": did you mean "proxy.p_t"?`:    func(c *Config) { c.Sweep.Grid = map[string][]string{"p_t": {"0.1"}} },
		`ollama.context_length is 44, want`:                           func(c *Config) { c.Ollama.ContextLength = 44 },
		`ollama.timeout is 0s, want`:                                  func(c *Config) { c.Ollama.Timeout = 0 },
		`prompts.path: empty`:                                         func(c *Config) { c.Prompts.Path = "" },
		`prompts.max_tokens: -1 is below 0`:                           func(c *Config) { c.Prompts.MaxTokens = -1 },
		`prompts.max_tokens is 469, want 468 at most`:                 func(c *Config) { c.Prompts.MaxTokens = 469 },
		`prompts.validation is -1, want`:                              func(c *Config) { c.Prompts.Validation = -1 },
		`since the checkpoint is chosen by them`:                      func(c *Config) { c.Prompts.Validation, c.Eval.Every = 0, 0 },
		`proxy.features is "x", want`:                                 func(c *Config) { c.Proxy.Features = "x" },
		`proxy.hidden_sizes[1] is 0, want`:                            func(c *Config) { c.Proxy.HiddenSizes = []int{1, 0} },
		`proxy.activation is "gelu", want`:                            func(c *Config) { c.Proxy.Activation = "gelu" },
		`proxy.p_t is NaN, want`:                                      func(c *Config) { c.Proxy.PT = math.NaN() },
		`proxy.temperature is +Inf, want`:                             func(c *Config) { c.Proxy.Temperature = math.Inf(1) },
		`proxy.top_p is 1.1, want`:                                    func(c *Config) { c.Proxy.TopP = 1.1 },
		`proxy.min_p is -0.1, want`:                                   func(c *Config) { c.Proxy.MinP = -.1 },
		`proxy.top_k is -1, want`:                                     func(c *Config) { c.Proxy.TopK = -1 },
		`proxy.max_rejections is -1, want`:                            func(c *Config) { c.Proxy.MaxRejections = -1 },
		`proxy.cutoff is 2, want`:                                     func(c *Config) { c.Proxy.Cutoff = 2 },
		`reward.type: unknown type "joy"`:                             func(c *Config) { c.Reward.Type = "joy" },
		`dense is true, want false, since a reward of type http`:      func(c *Config) { c.Reward = sumWithHTTP().Terms[1] },
		`reward_max_dropped is 1.5, want 0`:                           func(c *Config) { c.RewardMaxDropped = 1.5 },
		`rejection_cost is -1, want`:                                  func(c *Config) { c.RejectionCost = -1 },
		`episodes is 0, want 1 or more`:                               func(c *Config) { c.Episodes = 0 },
		`batch_size is 0, want`:                                       func(c *Config) { c.BatchSize = 0 },
		`episodes is 100, want a multiple of batch_size, such as 128`: func(c *Config) { c.Episodes = 100 },
		`tokens is 0, want`:                                           func(c *Config) { c.Tokens = 0 },
		`ppo.minibatch_size is 1, want 2 or more`:                     func(c *Config) { c.PPO.MinibatchSize = 1 },
		`batch_size is 64, want a multiple of ppo.group_size 3`:       func(c *Config) { c.PPO.GroupSize = 3 },
		`algorithm is "dqn", want ppo or sac`:                         func(c *Config) { c.Algorithm = "dqn" },
		`kl_coef is -1, want 0 or more`:                               func(c *Config) { c.KLCoef = -1 },
		`sac.tau is 0, want above 0 to 1`:                             func(c *Config) { c.SAC.Tau = 0 },
		`ppo.learning_rate is -1, want`:                               func(c *Config) { c.PPO.LearningRate = -1 },
		`want Complete to have been called`:                           func(c *Config) { c.PPO.Seed++ },
		`eval.every is -1, want`:                                      func(c *Config) { c.Eval.Every = -1 },
		`eval.max_perplexity_ratio is 0.5, want`:                      func(c *Config) { c.Eval.MaxPerplexityRatio = .5 },
		`eval.bootstrap_samples is 0, want`:                           func(c *Config) { c.Eval.BootstrapSamples = 0 },
		`eval.prompts is -1, want`:                                    func(c *Config) { c.Eval.Prompts = -1 },
		`eval.policies[1] is "dpo", want greedy, sample or proxy`:     func(c *Config) { c.Eval.Policies = []string{"proxy", "dpo"} },
		`eval.sample_temperature is 0, want`:                          func(c *Config) { c.Eval.SampleTemperature = 0 },
		`eval.sample_top_p is -1, want`:                               func(c *Config) { c.Eval.SampleTopP = -1 },
		`eval.sample_top_k is -1, want`:                               func(c *Config) { c.Eval.SampleTopK = -1 },
		`eval.best_of[1] is 0, want`:                                  func(c *Config) { c.Eval.BestOf = []int{2, 0} },
		`eval.reward2: type: unknown type "joy"`:                      func(c *Config) { c.Eval.Reward2 = &reward.Spec{Type: "joy"} },
		`eval.judge: model is "", want`:                               func(c *Config) { c.Eval.Judge = &Judge{} },
		`eval.judge: host is "a b", want`:                             func(c *Config) { c.Eval.Judge = &Judge{Model: "m", Host: "a b"} },
	} {
		c := valid()
		change(&c)
		if !strings.Contains(want, "Complete") {
			c = c.Complete()
		}
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want an error with %q", err, want)
			continue
		}
		if lines := strings.Split(err.Error(), "\n"); len(lines) != 1 {
			t.Errorf("one fault gives %d errors:\n%v", len(lines), err)
		}
	}
}

func sumWithHTTP() reward.Spec {
	return reward.Spec{Type: reward.TypeSum, Terms: []reward.Spec{
		{Type: reward.TypeVADER}, {Type: reward.TypeHTTP, URL: "http://127.0.0.1:5000"},
	}}
}

func TestWarnings(t *testing.T) {
	const off = "the proxy is never asked"
	for _, c := range []struct {
		name         string
		pt, topP     float64
		topK         int
		minP, temper float64
		want         string // of the only warning; "" for none
	}{
		{"default", .01, .9, 0, 0, .8, ""},
		{"p_t of nearly one in ten", .099, .9, 0, 0, .8, ""},
		{"p_t of one in ten", .1, .9, 0, 0, .8, "10 candidates or more"},
		{"p_t of one in three", .3, .9, 0, 0, .8, "4 candidates or more"},
		{"p_t of one half", .5, .9, 0, 0, .8, off},
		{"top-k 40 and p_t one in 40", .025, 1, 40, 0, .8, off},
		{"top-k 40 and p_t below", .024, 1, 40, 0, .8, ""},
		{"top-k 40 with top-p", .025, .9, 40, 0, .8, ""},
		{"top-k 40 with min-p", .025, 1, 40, .05, .8, ""},
		{"whole vocabulary", .01, 1, 0, 0, 1, off},
		{"whole vocabulary, small p_t", 1e-6, 1, 0, 0, .8, ""},
		{"whole vocabulary, no p_t", 0, 1, 0, 0, .8, ""},
		{"irregular tokens", 1e-4, .95, 0, 0, 1, "garbled"},
		{"irregular tokens, any", 0, .95, 0, 0, 1, "garbled"},
		{"min-p keeps them out", 1e-4, .95, 0, .01, 1, ""},
		{"p_t of the paper's table", 1e-3, .95, 0, 0, 1, ""},
		{"top-k does p_t's work", 1e-4, .95, 40, 0, 1, "no more than one of 0.001 does"},
		{"hot, with a large p_t", .05, .95, 0, 0, 1.3, "leaves less choice and not more"},
		{"hot, with a small p_t", .01, .95, 0, 0, 1.3, ""},
		{"greedy", .01, .9, 0, 0, 0, off},
		{"top-k 1", .01, .9, 1, 0, .8, off},
		{"top-p 0", .01, 0, 0, 0, .8, off},
		{"min-p 1", .01, .9, 0, 1, .8, off},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := valid()
			cfg.Proxy.PT, cfg.Proxy.TopP, cfg.Proxy.TopK, cfg.Proxy.MinP, cfg.Proxy.Temperature = c.pt, c.topP, c.topK, c.minP, c.temper
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			got := cfg.Warnings()
			switch {
			case c.want == "" && got != nil:
				t.Errorf("warnings %q, want none", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("warnings %q, want one with %q", got, c.want)
			}
		})
	}
}

func TestWarningsOfServing(t *testing.T) {
	c := valid()
	c.Proxy.Cutoff = 0
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "accepts every token") {
		t.Errorf("cutoff 0: %q", w)
	}
	c.Proxy.PT = .2
	if w := c.Warnings(); len(w) != 2 {
		t.Errorf("two faults: %q", w)
	}
}

func TestWarningOfPaidRejections(t *testing.T) {
	for _, tc := range []struct {
		algorithm   string
		cost, alpha float64
		want        bool
	}{{PPO, 0, .05, false}, {SAC, .01, .05, true}, {SAC, .034, .05, true}, {SAC, .035, .05, false}, {SAC, .1, .02, false}, {SAC, 0, .001, true}} {
		c := valid()
		c.Algorithm, c.RejectionCost, c.SAC.Alpha = tc.algorithm, tc.cost, tc.alpha
		w := c.Warnings()
		if (len(w) == 1 && strings.Contains(w[0], "rejection_cost to more than")) != tc.want || len(w) > 1 {
			t.Errorf("%+v: %q", tc, w)
		}
	}
}

// YAML loads again to an equal value, whatever valid values there are.
func TestYAMLRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		want := valid()
		if i > 0 {
			want = random(rng)
		}
		text, err := want.YAML()
		if err != nil {
			t.Fatal(err)
		}
		got := mustLoad(t, string(text), nil, nil)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-written +loaded):\n%s\nof\n%s", diff, text)
		}
		again, err := got.YAML()
		if err != nil || string(again) != string(text) {
			t.Fatalf("written again it differs (%v):\n%s", err, cmp.Diff(string(text), string(again)))
		}
	}
}

// random returns a valid configuration with strings that YAML might mistake.
func random(rng *rand.Rand) Config {
	awkward := []string{"yes", "null", "~", "1e3", "0x1f", "2024-01-01", "a: b # c", " padded ", "'q' \"q\"", "{x}", "- x", "*a", "ü\n", "\t", "!!str"}
	text := func() string { return awkward[rng.IntN(len(awkward))] }
	c := Default()
	for _, f := range knobs() {
		v := f.value(&c)
		if strings.HasPrefix(f.key, "reward.") || rng.IntN(3) > 0 {
			continue
		}
		switch {
		case slices.Contains([]string{"model", "model_file", "run", "ollama.binary", "ollama.store", "prompts.path", "prompts.key"}, f.key):
			v.SetString(text())
		case f.key == "seed" || f.key == "prompts.seed":
			v.SetUint(rng.Uint64())
		case f.key == "ollama.timeout":
			v.SetInt(rng.Int64N(1e12) + 1)
		case slices.Contains([]string{"reward_max_dropped", "proxy.p_t", "proxy.top_p", "ppo.gamma", "prompts.reserve"}, f.key):
			v.SetFloat(rng.Float64())
		case slices.Contains([]string{"ppo.learning_rate", "rejection_cost"}, f.key):
			v.SetFloat(math.Exp(rng.Float64()*200 - 100))
		case slices.Contains([]string{"prompts.hold_out", "prompts.limit", "prompts.max_characters", "eval.prompts"}, f.key):
			v.SetInt(int64(rng.IntN(3)))
		case f.key == "ollama.hosts":
			c.Ollama.Hosts = [][]string{nil, {"a"}, {"a:1", "http://b:2"}}[rng.IntN(3)]
		case f.key == "sweep.grid":
			c.Sweep.Grid = []map[string][]string{nil, {"tokens": {"1"}}, {"proxy.p_t": {"1e-2", "0"}, "model": {text()}}}[rng.IntN(3)]
		case f.key == "eval.policies":
			c.Eval.Policies = [][]string{nil, {PolicySample}, {PolicyGreedy, PolicyProxy}}[rng.IntN(3)]
		case f.key == "eval.best_of":
			c.Eval.BestOf = [][]int{nil, {1}, {2, 32}}[rng.IntN(3)]
		case f.key == "eval.judge":
			c.Eval.Judge = &Judge{Model: "x" + text(), Rubric: text()}
		case f.key == "eval.reward2":
			c.Eval.Reward2 = &reward.Spec{Type: "http", URL: "http://h", Timeout: 1e9, Headers: map[string]string{"A": text()}}
		case f.key == "proxy.hidden_sizes":
			c.Proxy.HiddenSizes = [][]int{nil, {1}, {3, 2, 1}}[rng.IntN(3)]
		}
	}
	c.Dense = false
	c.Reward = []reward.Spec{
		{Type: "regexp", Pattern: "x" + regexp.QuoteMeta(text()), PerMatch: rng.NormFloat64(), IgnoreCase: rng.IntN(2) == 0},
		{Type: "vader", Weight: new(0.0)},
		{Type: "http", URL: "http://h:1/p", Timeout: time.Duration(rng.IntN(1e9)), Retries: -1, Headers: map[string]string{"A": text(), "b-C": text()}},
		{Type: "lexicon", Words: map[string]float64{"Good": rng.NormFloat64(), "not good": 0, "yes": 1}, Unlisted: rng.NormFloat64()},
		{Type: "lexicon", WordsFile: text()},
		{Type: "ollama", Model: text(), Rubric: "x" + text(), Scale: 2 + rng.IntN(9), Parallel: rng.IntN(9)},
		{Type: "command", Command: []string{"x" + text(), text()}},
		{Type: "sum", Terms: []reward.Spec{{Type: "distinct", N: rng.IntN(4), Name: "variety"}, {Type: "repetition"}}},
		{Type: "sum", Weight: new(rng.NormFloat64()), Terms: []reward.Spec{sumWithHTTP(), {Type: "length", Unit: "characters", Target: 1 / 3.}}},
	}[rng.IntN(9)]
	return c.Complete()
}

func TestYAMLIsCommented(t *testing.T) {
	text, err := valid().YAML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# step size of the actor; 0 freezes it\n  learning_rate: 0.0005\n",
		"  hidden_sizes: [2048]\n",
		"  timeout: 5m0s\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the file lacks %q:\n%s", want, text)
		}
	}
}

func TestFlagHelpShowsNameKindAndDefault(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(fs)
	help := fs.FlagUsages()
	for _, want := range []string{
		`--ppo\.learning_rate float +step size of the actor; 0 freezes it \(default 0\.0005\)`,
		`--proxy\.hidden_sizes ints .*\(default 2048\)`,
		`--ollama\.timeout duration .*\(default 5m0s\)`,
		`--dense +pay each token .*\(default true\)`,
		`--model string +the frozen LLM, by its Ollama name \(default "smollm2:135m"\)`,
		`--reward\.terms yaml +summands`,
		`--reward\.weight float +factor`,
		`--eval\.judge yaml +an Ollama model`,
	} {
		if !regexp.MustCompile(want).MatchString(help) {
			t.Errorf("the help lacks %s:\n%s", want, help)
		}
	}
	if err := FlagError(fs.Parse([]string{"--ppo.lerning_rate", "1"})); err == nil ||
		err.Error() != "unknown flag --ppo.lerning_rate: did you mean --ppo.learning_rate?" {
		t.Errorf("an unknown flag: %v", err)
	}
	other := fs.Parse([]string{"--tokens=x"})
	if FlagError(other) != other || other == nil {
		t.Errorf("another error becomes %v", FlagError(other))
	}
}

// A flag prints as what sets it to the same value.
func TestFlagTextRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		c := random(rng)
		for _, f := range knobs() {
			want := &flagValue{knob: f, value: f.value(&c)}
			got := &flagValue{knob: f}
			if err := got.Set(want.String()); err != nil && want.String() != "" {
				t.Fatalf("%s: %v", f.key, err)
			} else if err == nil {
				if diff := cmp.Diff(want.value.Interface(), got.value.Interface()); diff != "" {
					t.Fatalf("--%s %q (-want +got):\n%s", f.key, want, diff)
				}
			}
		}
	}
}

func TestPoolOfTheDefaultIsTheSamplers(t *testing.T) {
	if diff := cmp.Diff(sampler.DefaultOptions(), Default().Proxy.Pool()); diff != "" {
		t.Errorf("(-sampler's +ours):\n%s", diff)
	}
	all := Proxy{Temperature: 1, TopK: 2, TopP: 3, MinP: 4, PT: 5, MaxRejections: 6}.Pool()
	want := sampler.Options{Temperature: 1, TopK: 2, TopP: 3, MinP: 4, PT: 5, MaxRejections: 6}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRunFolder(t *testing.T) {
	c := valid()
	if got := c.RunFolder(); got != filepath.Join("runs", "proxy") {
		t.Errorf("RunFolder() = %q", got)
	}
	c.Run = "/x/y"
	if got := c.RunFolder(); got != "/x/y" {
		t.Errorf("RunFolder() = %q", got)
	}
}

func TestWith(t *testing.T) {
	before := valid()
	got, err := before.With("proxy.hidden_sizes", "8,4")
	if err != nil {
		t.Fatal(err)
	}
	want := valid()
	want.Proxy.HiddenSizes = []int{8, 4}
	if diff := cmp.Diff(want.Complete(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(valid(), before); diff != "" {
		t.Errorf("the receiver was changed:\n%s", diff)
	}
	for key, want := range map[string]string{"proxy.p_t": `"x" is not a finite number`, "proxy.pt": `did you mean "proxy.p_t"`, "proxy": `unknown key "proxy"`} {
		if _, err := before.With(key, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("With(%s): %v, want an error with %s", key, err, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, c := range wrong {
		f.Add(c.file)
	}
	f.Add(minimal)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := load(t, text, nil, nil)
		if err != nil {
			return
		}
		out, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, mustLoad(t, string(out), nil, nil)); diff != "" {
			t.Errorf("%s\n(-loaded +written and loaded):\n%s", out, diff)
		}
	})
}
