package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/report"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/sweep"
)

func sweepCommand() *cobra.Command {
	var grid []string
	var seeds int
	cmd := configured("sweep", "Train and evaluate every combination of a grid of settings; does only what is not done", func(ctx context.Context, c config.Config) error {
		if len(grid) > 0 {
			c.Sweep.Grid = map[string][]string{}
		}
		for _, text := range grid {
			if err := sweep.ParseGrid(c.Sweep.Grid, text); err != nil {
				return err
			}
		}
		if seeds > 0 {
			c.Sweep.Seeds = seeds
		}
		if err := c.Validate(); err != nil {
			return err
		}
		return runSweep(ctx, c)
	})
	cmd.Flags().StringArrayVar(&grid, "grid", nil, "a knob and its values, such as proxy.p_t=0.1,0.01; once for each knob; replaces sweep.grid")
	cmd.Flags().IntVar(&seeds, "seeds", 0, "runs of each combination, in place of sweep.seeds")
	return cmd
}

// sweeper does the cells of a sweep one after another, on one connection.
type sweeper struct {
	cells      []sweep.Cell
	folder     *run.Folder
	connection *connection
	record     *sweep.Record
	pace       sweep.Pace
}

func runSweep(ctx context.Context, c config.Config) error {
	cells, err := sweep.Cells(c)
	if err != nil {
		return err
	}
	s := &sweeper{cells: cells}
	defer s.close()
	if err := s.open(ctx, c); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "sweep in %s: %d cells, %d done\n", s.folder.Dir(), len(cells), s.record.Count(sweep.Done))
	err = s.run(ctx)
	s.record.WriteTable(os.Stdout)
	fmt.Printf("\nfiles:\n  %s\n\nfigures and tables of the paper from it: proxy-trainer report %s\n", s.folder.Path(sweep.File), s.folder.Dir())
	return err
}

// open prepares the sweep's folder, its record and, where there is something left to do, the servers.
func (s *sweeper) open(ctx context.Context, c config.Config) error {
	resolved, err := c.YAML()
	if err != nil {
		return err
	}
	if dir := c.RunFolder(); exists(filepath.Join(dir, run.MetricsFile)) {
		return fmt.Errorf("%s holds a single run: give the sweep another folder with --run", dir)
	}
	if s.folder, err = run.Open(c.RunFolder(), resolved, "run", "model_file", "ollama", "sweep"); err != nil {
		return err
	}
	before, err := sweep.ReadIfThere(s.folder.Path(sweep.File))
	if err != nil {
		return err
	}
	s.record = sweep.NewRecord(s.cells, before)
	s.record.Model, s.record.Reward, s.record.Grid, s.record.Seeds = c.Model, c.Reward.Type, c.Sweep.Grid, max(c.Sweep.Seeds, 1)
	for i := range s.cells {
		if err := s.look(i); err != nil {
			return err
		}
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.save(); err != nil || s.record.Count(sweep.Done) == len(s.cells) {
		return err
	}
	s.connection, err = connect(ctx, c.Ollama, s.folder.Path("server.log"))
	return err
}

// check looks at the prompts and the reward of each cell that is to be done and has others than the one before.
func (s *sweeper) check(ctx context.Context) error {
	var last *config.Config
	for i := range s.cells {
		c := &s.cells[i].Config
		if s.record.Cells[i].Status == sweep.Done || last != nil && reflect.DeepEqual(last.Prompts, c.Prompts) && reflect.DeepEqual(last.Reward, c.Reward) {
			continue
		}
		last = c
		if err := (&session{config: *c}).check(ctx); err != nil {
			return fmt.Errorf("cell %s: %w", s.cells[i].Name, err)
		}
	}
	return nil
}

func (s *sweeper) close() {
	if s.connection != nil {
		s.connection.close()
	}
	if s.folder != nil {
		s.folder.Close()
	}
}

// look marks a cell that has been evaluated as done.
func (s *sweeper) look(i int) error {
	path := filepath.Join(s.cells[i].Config.RunFolder(), report.EvaluationFile)
	if !exists(path) {
		return nil
	}
	e, err := report.ReadEvaluation(path)
	if err != nil {
		return err
	}
	result, greedy, proxy := &s.record.Cells[i], e.Greedy(), e.Proxy()
	result.Status, result.Error = sweep.Done, ""
	result.Scores = &sweep.Scores{
		Greedy: greedy.Reward.Mean, GreedyPerplexity: greedy.Perplexity,
		Reward: proxy.Reward.Mean, Gain: proxy.Gain.Mean, GainLow: proxy.Gain.Low, GainHigh: proxy.Gain.High,
		WinRate: proxy.WinRate, Perplexity: proxy.Perplexity,
		Rejections: proxy.Rejections, Forwards: proxy.Forwards, Tokens: proxy.Tokens,
	}
	if result.Seconds > 0 {
		s.pace.Add(time.Duration(result.Seconds * float64(time.Second)))
	}
	return nil
}

func (s *sweeper) save() error {
	data, err := json.MarshalIndent(s.record, "", "  ")
	if err != nil {
		return err
	}
	return s.folder.WriteFile(sweep.File, append(data, '\n'))
}

// run does what is not done. A cell that fails does not keep the others from being tried; a dead server does.
func (s *sweeper) run(ctx context.Context) error {
	var first error
	for i := range s.cells {
		if s.record.Cells[i].Status == sweep.Done {
			continue
		}
		began := time.Now()
		err := s.cell(ctx, i)
		result := &s.record.Cells[i]
		result.Seconds += time.Since(began).Seconds()
		switch {
		case err == nil:
			err = s.look(i)
		case ctx.Err() != nil:
			return errors.Join(ctx.Err(), s.save())
		default:
			result.Status, result.Error = sweep.Failed, err.Error()
			fmt.Fprintf(os.Stderr, "cell %s failed: %v\n", s.cells[i].Name, err)
			if first == nil {
				first = fmt.Errorf("cell %s: %w", s.cells[i].Name, err)
			}
			err = s.connection.alive(ctx)
		}
		if err := errors.Join(err, s.save()); err != nil {
			return err
		}
	}
	if first != nil {
		return fmt.Errorf("%d of %d cells failed, and are tried again by the same command: %w", s.record.Count(sweep.Failed), len(s.cells), first)
	}
	return nil
}

// cell trains and evaluates one cell, from where its folder stands.
func (s *sweeper) cell(ctx context.Context, i int) error {
	cell := s.cells[i]
	resolved, err := cell.Config.YAML()
	if err != nil {
		return err
	}
	one, err := openFolder(ctx, cell.Config, resolved, s.connection)
	if err != nil {
		return err
	}
	defer one.close()
	one.label = s.label(i)
	fmt.Fprintf(os.Stderr, "\n%s: %s\n", one.label, cell.Name)
	if !exists(one.folder.Path(proxyFile)) {
		if err := one.learn(ctx); err != nil {
			return err
		}
	}
	return one.evaluate(ctx)
}

// label says how far the sweep is.
func (s *sweeper) label(i int) string {
	label := fmt.Sprintf("cell %d of %d", i+1, len(s.cells))
	if left, ok := s.pace.Left(len(s.cells) - s.record.Count(sweep.Done)); ok {
		label += fmt.Sprintf(" (%s left of all)", left)
	}
	return label
}
