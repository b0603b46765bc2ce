package learn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/env/envtest"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/prompts"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/reward"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// smallConfig trains a tiny proxy to avoid the word "bad" in moments.
func smallConfig() config.Config {
	c := config.Default()
	c.Model, c.Reward = "hash", reward.Spec{Type: reward.TypeRegexp, Pattern: "bad", PerMatch: -1}
	c.Proxy.HiddenSizes = []int{8}
	c.Proxy.PT, c.Proxy.Temperature, c.Proxy.TopP = 0.02, 1, 1
	c.Episodes, c.BatchSize, c.Tokens = 48, 8, 12
	c.PPO.MinibatchSize, c.PPO.Epochs = 64, 2
	c.Eval.Every, c.Eval.MaxPerplexityRatio = 16, 0
	c.Ollama.Parallel = 4
	return c.Complete()
}

// smallSAC is smallConfig for SAC.
func smallSAC() config.Config {
	c := smallConfig()
	c.Algorithm = config.SAC
	c.SAC.MinibatchSize, c.SAC.LearningStarts, c.SAC.UpdatesPerEpisode = 16, 100, 2
	return c
}

// reporter does something after each batch.
type reporter struct{ batch func(episodes int) }

func (reporter) Phase(string, int) {}
func (reporter) Reply(*env.Reply)  {}
func (r reporter) Batch(episodes int, _ map[string]float64) {
	if r.batch != nil {
		r.batch(episodes)
	}
}

// client speaks to a server and is quick to try again.
func client(t *testing.T, server *envtest.Server) *env.Client {
	t.Helper()
	c, err := env.NewClient(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.RetryWait = time.Millisecond
	return c
}

// newLoop is a loop on a server in a folder.
func newLoop(t *testing.T, c config.Config, server *envtest.Server, dir string) *Loop {
	t.Helper()
	llm := client(t, server)
	base, err := llm.Base(context.Background(), c.Model)
	if err != nil {
		t.Fatal(err)
	}
	r, err := reward.New(c.Reward)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := run.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	l := &Loop{Config: c, Client: llm, Base: base, Reward: r, Folder: folder, Reporter: reporter{}}
	for _, text := range strings.Fields("apple bread cheese dates eggs figs grapes honey ice jam") {
		l.Train = append(l.Train, prompts.Prompt{ID: text, Text: text})
		l.Validation = append(l.Validation, prompts.Prompt{ID: "v" + text, Text: "more " + text})
	}
	return l
}

// records are the metrics without what depends on the clock.
func records(t *testing.T, dir string) []run.Record {
	t.Helper()
	all, err := run.ReadMetrics(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i].Time = time.Time{}
		maps.DeleteFunc(all[i].Metrics, func(name string, _ float64) bool {
			return strings.HasPrefix(name, "time/") || name == "charts/SPS" || name == "proxy/tokens_per_second"
		})
	}
	return all
}

// export writes the best checkpoint's proxy and returns its bytes.
func export(t *testing.T, l *Loop) []byte {
	t.Helper()
	m, err := l.Best()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "proxy.gguf")
	if err := m.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return readFile(t, path)
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A run that was interrupted, killed or rolled back and went on leaves what an unbroken run leaves, bit for bit: the metrics
// but for times, the samples, the checkpoints and the exported file.
func TestResumedRunIsTheUnbrokenRun(t *testing.T) {
	spilled := smallSAC()
	spilled.SAC.BufferSpill = true
	for name, c := range map[string]config.Config{"ppo": smallConfig(), "sac": smallSAC(), "sac, on disk": spilled} {
		t.Run(name, func(t *testing.T) { testResumedRun(t, c) })
	}
}

func testResumedRun(t *testing.T, c config.Config) {
	server := envtest.New(t, "hash")
	whole := newLoop(t, c, server, t.TempDir())
	if _, err := whole.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(records(t, whole.Folder.Dir())); n < 48/8+48/16 {
		t.Fatalf("%d records, want 6 batches and 3 validations or more", n)
	}
	for name, breakOff := range map[string]func(t *testing.T, dir string) (resume string){
		"interrupted after each batch": func(t *testing.T, dir string) string {
			for range 5 {
				interrupt(t, newLoop(t, c, server, dir))
			}
			return ResumeAuto
		},
		"interrupted among replies": func(t *testing.T, dir string) string {
			for _, after := range []int{3, 25, 40} {
				// A server of its own: requests that are under way when a run is cancelled may come in late.
				server := envtest.New(t, "hash")
				ctx, cancel := context.WithCancel(context.Background())
				server.Fail = func(n int) int {
					if n == after {
						cancel()
					}
					return 0
				}
				l := newLoop(t, c, server, dir)
				if _, err := l.Run(ctx); !errors.Is(err, context.Canceled) {
					t.Fatalf("interrupted: %v", err)
				}
				l.Folder.Close()
			}
			return ""
		},
		"killed between metrics and checkpoint": func(t *testing.T, dir string) string {
			l := newLoop(t, c, server, dir)
			interrupt(t, l)
			// What a killed process leaves: a batch that was recorded and never saved, and half a line.
			checkpoint := readFile(t, filepath.Join(dir, LastCheckpoint))
			interrupt(t, newLoop(t, c, server, dir))
			torn := append(readFile(t, filepath.Join(dir, SamplesFile)), `{"episodes":`...)
			if err := errors.Join(os.WriteFile(filepath.Join(dir, LastCheckpoint), checkpoint, 0o644), os.WriteFile(filepath.Join(dir, SamplesFile), torn, 0o644)); err != nil {
				t.Fatal(err)
			}
			return ResumeAuto
		},
		"rolled back to its best": func(t *testing.T, dir string) string {
			l := newLoop(t, c, server, dir)
			if _, err := l.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			l.Folder.Close()
			return filepath.Join(dir, BestCheckpoint)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			resume := breakOff(t, dir)
			l := newLoop(t, c, server, dir)
			l.Resume = resume
			if _, err := l.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			same(t, whole, l)
		})
	}
}

// interrupt runs a loop until its first batch is done.
func interrupt(t *testing.T, l *Loop) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l.Reporter = reporter{func(int) { cancel() }}
	if _, err := l.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	if err := l.Folder.Close(); err != nil {
		t.Fatal(err)
	}
}

// same compares two runs.
func same(t *testing.T, want, got *Loop) {
	t.Helper()
	a, b := want.Folder.Dir(), got.Folder.Dir()
	if d := cmp.Diff(records(t, a), records(t, b)); d != "" {
		t.Errorf("metrics −unbroken +resumed\n%s", d)
	}
	for _, name := range []string{SamplesFile, LastCheckpoint, BestCheckpoint} {
		if !bytes.Equal(readFile(t, filepath.Join(a, name)), readFile(t, filepath.Join(b, name))) {
			t.Errorf("%s is another file than the unbroken run's", name)
		}
	}
	if !bytes.Equal(export(t, want), export(t, got)) {
		t.Error("the exported proxy is another file than the unbroken run's")
	}
}

// A new folder may go on from another's checkpoint; one that was trained in may not, nor may a new run begin in it.
func TestResume(t *testing.T) {
	server := envtest.New(t, "hash")
	c := smallConfig()
	first := newLoop(t, c, server, t.TempDir())
	first.Resume = ResumeNever
	if _, err := first.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkpoint := first.Folder.Path(LastCheckpoint)

	longer := c
	longer.Episodes = 64
	second := newLoop(t, longer, server, t.TempDir())
	second.Resume = checkpoint
	if _, err := second.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	var steps []int64
	for _, r := range records(t, second.Folder.Dir()) {
		steps = append(steps, r.Step)
	}
	if d := cmp.Diff([]int64{56, 64, 64}, steps); d != "" {
		t.Errorf("steps −want +got\n%s", d)
	}
	if _, err := second.Best(); err != nil {
		t.Errorf("the best of the second run: %v", err)
	}

	for name, test := range map[string]struct {
		resume string
		config config.Config
		dir    string
		want   string
	}{
		"a new run in a used folder":       {ResumeNever, c, second.Folder.Dir(), ErrTrained.Error()},
		"another's in a used folder":       {checkpoint, longer, second.Folder.Dir(), ErrTrained.Error()},
		"nothing left to train":            {checkpoint, c, t.TempDir(), "has 48 episodes behind it and episodes is 48"},
		"no such checkpoint":               {filepath.Join(t.TempDir(), "none.ckpt"), c, t.TempDir(), "no such file"},
		"no such checkpoint of the folder": {filepath.Join(second.Folder.Dir(), "none.ckpt"), c, second.Folder.Dir(), "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.dir == second.Folder.Dir() {
				second.Folder.Close()
			}
			l := newLoop(t, test.config, server, test.dir)
			defer l.Folder.Close()
			l.Resume = test.resume
			if _, err := l.Run(context.Background()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want an error with %q", err, test.want)
			}
		})
	}
	sac := longer
	sac.Algorithm = config.SAC
	otherAlgorithm := newLoop(t, sac, server, t.TempDir())
	otherAlgorithm.Resume = checkpoint
	if _, err := otherAlgorithm.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "algorithm ppo, not sac") {
		t.Errorf("a checkpoint of another algorithm: %v", err)
	}
	other := newLoop(t, longer, server, t.TempDir())
	other.Resume, other.Base.Digest = checkpoint, "sha256:other"
	if _, err := other.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "another model") {
		t.Errorf("a checkpoint of another model: %v", err)
	}
}

// Servers that die in mid-run end it with an error that names them; what was learnt is saved, and the run goes on elsewhere,
// past failures that pass.
func TestServersThatDie(t *testing.T) {
	for name, die := range map[string]func(*envtest.Server){
		"gone": func(s *envtest.Server) { s.CloseClientConnections(); s.Close() },
		"broken": func(s *envtest.Server) {
			s.Fail = func(int) int { return http.StatusInternalServerError }
		},
	} {
		for _, servers := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s, %d", name, servers), func(t *testing.T) {
				var all []*envtest.Server
				var clients []*env.Client
				for range servers {
					all = append(all, envtest.New(t, "hash"))
				}
				l := newLoop(t, smallConfig(), all[0], t.TempDir())
				for _, s := range all {
					clients = append(clients, client(t, s))
				}
				if servers > 1 {
					l.Client = env.NewPool(clients, []int{2, 2})
				}
				l.Reporter = reporter{func(episodes int) {
					if episodes == 16 {
						for _, s := range all {
							die(s)
						}
					}
				}}
				_, err := l.Run(context.Background())
				for _, c := range clients {
					if err == nil || !strings.Contains(err.Error(), c.Host()) {
						t.Errorf("the servers died: %v, want an error with %s", err, c.Host())
					}
				}
				if errors.Is(err, env.ErrNoServers) != (servers > 1) {
					t.Errorf("%d servers died: %v", servers, err)
				}
				var s State
				if err := l.Folder.LoadCheckpoint(LastCheckpoint, &s); err != nil || s.Episodes != 16 {
					t.Fatalf("the checkpoint is of %d episodes, %v; want 16", s.Episodes, err)
				}
				l.Folder.Close()

				another := envtest.New(t, "hash")
				another.Fail = func(n int) int {
					if n%7 == 0 {
						return http.StatusServiceUnavailable
					}
					return 0
				}
				again := newLoop(t, smallConfig(), another, l.Folder.Dir())
				if s, err := again.Run(context.Background()); err != nil || s.Episodes != 48 {
					t.Errorf("going on: %d episodes, %v", s.Episodes, err)
				}
			})
		}
	}
}

// Numbers that are none stop the run, say where, and leave the last good checkpoint.
func TestDivergenceStopsTheRun(t *testing.T) {
	server := envtest.New(t, "hash")
	c := smallConfig()
	c.PPO.LearningRate, c.PPO.MaxGradNorm = 1e38, 0
	l := newLoop(t, c, server, t.TempDir())
	_, err := l.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "actor: ") {
		t.Fatalf("a diverged run: %v, want an error that names the tensor", err)
	}
	var s State
	if err := l.Folder.LoadCheckpoint(LastCheckpoint, &s); err != nil || s.Episodes != 0 {
		t.Fatalf("the checkpoint is of %d episodes, %v; want 0", s.Episodes, err)
	}
	for _, tensor := range s.PPO.Actor.Tensors {
		if slices.ContainsFunc(tensor.Values, func(x float32) bool { return math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) }) {
			t.Errorf("%s of the checkpoint is not finite", tensor.Name)
		}
	}
}

// It learns: "bad" becomes rare, and more so than by chance.
func TestLoopLearns(t *testing.T) {
	server := envtest.New(t, "hash")
	ppo := smallConfig()
	ppo.Episodes, ppo.BatchSize, ppo.PPO.LearningRate, ppo.PPO.Epochs = 768, 64, 5e-3, 4
	ppo.PPO.Gamma = 0 // after another word all words are others, so what comes later says nothing
	ppo.Eval.Every = 0
	sac := ppo
	sac.Algorithm, sac.Eval.Every = config.SAC, 64
	sac.SAC.LearningRate, sac.SAC.CriticLearningRate, sac.SAC.Gamma = 5e-3, 5e-3, 0
	sac.SAC.MinibatchSize, sac.SAC.UpdatesPerEpisode = 128, 2
	still := ppo
	still.PPO.LearningRate = 0
	for name, c := range map[string]config.Config{"ppo": ppo, "sac": sac, "with learning rate 0": still} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, c.Complete(), server, t.TempDir())
			s, err := l.Run(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("reward %.2f → %.2f, perplexity %.2f → %.2f", s.Greedy.Reward, s.Best.Reward, s.Greedy.Perplexity, s.Best.Perplexity)
			if learnt := s.Best.Reward >= s.Greedy.Reward/2; learnt != (c.PPO.LearningRate > 0) {
				t.Errorf("reward %.2f, greedy's is %.2f: learnt %v", s.Best.Reward, s.Greedy.Reward, learnt)
			}
		})
	}
}

// A prompt has its replies in a row and comes round again when all others have had theirs.
func TestGroupsOfRequests(t *testing.T) {
	server := envtest.New(t, "hash")
	c := smallConfig()
	c.PPO.GroupSize = 4
	l := newLoop(t, c, server, t.TempDir())
	if err := l.restore(); err != nil {
		t.Fatal(err)
	}
	var got []string
	seeds := map[any]bool{}
	for range 6 {
		for _, r := range l.requests() {
			got = append(got, r.Prompt.ID)
			seeds[r.Options["seed"]] = true
		}
		l.state.Episodes += c.BatchSize
	}
	for i, id := range got {
		if want := l.Train[i/4%len(l.Train)].ID; id != want {
			t.Errorf("request %d is to %s, want %s", i, id, want)
		}
	}
	if len(seeds) != len(got) {
		t.Errorf("%d seeds for %d requests", len(seeds), len(got))
	}
}

// A SAC run in a new folder goes on from another's checkpoint and from the decisions beside it.
func TestSACMoves(t *testing.T) {
	server := envtest.New(t, "hash")
	c := smallSAC()
	first := newLoop(t, c, server, t.TempDir())
	if _, err := first.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.Episodes = 64
	second := newLoop(t, c, server, t.TempDir())
	second.Resume = first.Folder.Path(LastCheckpoint)
	if _, err := second.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	var before, after State
	if err := errors.Join(first.Folder.LoadCheckpoint(LastCheckpoint, &before), second.Folder.LoadCheckpoint(LastCheckpoint, &after)); err != nil {
		t.Fatal(err)
	}
	if after.SAC.Buffer.Total <= before.SAC.Buffer.Total || after.SAC.Updates <= before.SAC.Updates {
		t.Errorf("%d decisions and %d updates after, %d and %d before", after.SAC.Buffer.Total, after.SAC.Updates, before.SAC.Buffer.Total, before.SAC.Updates)
	}
	if err := os.Remove(first.Folder.Path(BufferFile)); err != nil {
		t.Fatal(err)
	}
	third := newLoop(t, c, server, t.TempDir())
	third.Resume = first.Folder.Path(LastCheckpoint)
	if _, err := third.Run(context.Background()); err == nil || !strings.Contains(err.Error(), BufferFile) {
		t.Errorf("without the decisions: %v, want an error that names %s", err, BufferFile)
	}
}

// A reply that another proxy decided is not learnt from.
func TestAnotherPolicy(t *testing.T) {
	l := newLoop(t, smallConfig(), envtest.New(t, "hash"), t.TempDir())
	if err := l.restore(); err != nil {
		t.Fatal(err)
	}
	l.pushed = "sha256:mine"
	for _, stats := range []*wire.Stats{nil, {Digest: "sha256:other"}} {
		_, err := l.pay(context.Background(), []env.Reply{{Prompt: prompts.Prompt{ID: "p7"}, Proxy: stats}})
		if err == nil || !strings.Contains(err.Error(), "prompt p7") || !strings.Contains(err.Error(), "sha256:mine") {
			t.Errorf("%v: error %v", stats, err)
		}
	}
	ours := env.Reply{Prompt: prompts.Prompt{ID: "p7"}, Proxy: &wire.Stats{Digest: l.pushed}}
	if paid, err := l.pay(context.Background(), []env.Reply{ours, {DoneReason: env.DoneCut}}); err != nil || len(paid.Replies) != 1 {
		t.Errorf("%d replies, %v; want one", len(paid.Replies), err)
	}
}

// Several servers are workers of one run, which a server's death does not end.
func TestLoopOnSeveralServers(t *testing.T) {
	a, b := envtest.New(t, "hash"), envtest.New(t, "hash")
	l := newLoop(t, smallConfig(), a, t.TempDir())
	l.Client = env.NewPool([]*env.Client{client(t, a), client(t, b)}, []int{2, 2})
	l.Reporter = reporter{func(episodes int) {
		if episodes == 24 {
			a.CloseClientConnections()
			a.Close()
		}
	}}
	if _, err := l.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if a.Chats() == 0 || b.Chats() < 48-24 {
		t.Errorf("%d and %d replies", a.Chats(), b.Chats())
	}
	// The replies are what one server gives, whoever gave them.
	whole := newLoop(t, smallConfig(), b, t.TempDir())
	if _, err := whole.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(records(t, whole.Folder.Dir()), records(t, l.Folder.Dir()), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("metrics −one server +two\n%s", d)
	}
}
