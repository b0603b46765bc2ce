package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

// Run is what a run folder holds.
type Run struct {
	Dir    string
	Config config.Config
	// Validations are the validations on the way, in the order they were made.
	Validations []Validation
	// Evaluation is on the held-out prompts; nil of a run that was not evaluated.
	Evaluation *eval.Evaluation
}

// Validation is one look at the proxy on the validation prompts.
type Validation struct {
	Episodes   int
	Reward     float64
	Perplexity float64
	// Greedy and GreedyPerplexity are of greedy replies to the same prompts.
	Greedy, GreedyPerplexity float64
}

// ReadRuns reads the runs in folders, each of which is a run's or holds some at any depth, as a sweep's does. It is an error
// if a folder has none, or if two runs were trained on different models or for different rewards, whose numbers cannot stand
// in one table.
func ReadRuns(dirs []string) ([]Run, error) {
	var runs []Run
	for _, dir := range dirs {
		folders, err := runFolders(dir)
		if err != nil {
			return nil, err
		}
		if len(folders) == 0 {
			return nil, fmt.Errorf("%s: no run in it: want a folder with %s and %s, or one of such folders", dir, run.ConfigFile, run.MetricsFile)
		}
		for _, folder := range folders {
			if slices.ContainsFunc(runs, func(r Run) bool { return r.Dir == folder }) {
				continue
			}
			r, err := readRun(folder)
			if err != nil {
				return nil, err
			}
			runs = append(runs, r)
		}
	}
	for i := range runs[1:] {
		if err := comparable(&runs[0], &runs[i+1]); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// runFolders are those at or below dir that have metrics, in lexical order.
func runFolders(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(filepath.Clean(dir), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && entry.Name() == run.MetricsFile {
			found = append(found, filepath.Dir(path))
		}
		return err
	})
	return found, err
}

func readRun(dir string) (Run, error) {
	r := Run{Dir: dir}
	var err error
	if r.Config, err = config.Load(filepath.Join(dir, run.ConfigFile), nil, nil); err != nil {
		return Run{}, err
	}
	records, err := run.ReadMetrics(dir)
	if err != nil {
		return Run{}, err
	}
	for _, m := range records {
		if reward, ok := m.Metrics["eval/reward"]; ok {
			r.Validations = append(r.Validations, Validation{
				Episodes: int(m.Step), Reward: reward, Perplexity: m.Metrics["eval/perplexity"], Greedy: m.Metrics["eval/greedy_reward"],
				GreedyPerplexity: m.Metrics["eval/greedy_perplexity"],
			})
		}
	}
	path := filepath.Join(dir, eval.File)
	switch r.Evaluation, err = eval.Read(path); {
	case errors.Is(err, os.ErrNotExist):
		err = nil
	case err == nil && r.Evaluation.Proxy() == nil:
		err = fmt.Errorf("%s: the proxy is not among what was compared: evaluate the run again, with eval.policies empty", path)
	}
	return r, err
}

func comparable(a, b *Run) error {
	for _, c := range []struct{ what, a, b string }{
		{"model", a.Config.Model, b.Config.Model},
		{"reward.type", a.Config.Reward.Type, b.Config.Reward.Type},
		{"reward.pattern", a.Config.Reward.Pattern, b.Config.Reward.Pattern},
		{"prompts.path", a.Config.Prompts.Path, b.Config.Prompts.Path},
		{"tokens", fmt.Sprint(a.Config.Tokens), fmt.Sprint(b.Config.Tokens)},
	} {
		if c.a != c.b {
			return fmt.Errorf("%s and %s cannot be compared: %s is %q in one and %q in the other: report them apart", a.Dir, b.Dir, c.what, c.a, c.b)
		}
	}
	return nil
}
