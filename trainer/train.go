package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/learn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

// The files that a run exports.
const (
	proxyFile     = "proxy.gguf"
	modelfileFile = "Modelfile"
	curveSVG      = "reward.svg"
	curvePNG      = "reward.png"
)

func trainCommand() *cobra.Command {
	var resume string
	dry := false
	cmd := configured("train", "Train a proxy and export the best checkpoint", func(ctx context.Context, c config.Config) error {
		if dry {
			return dryRun(ctx, c, os.Stdout)
		}
		s, err := open(ctx, c)
		if err != nil {
			return err
		}
		defer s.close()
		s.resume = resume
		if err := s.learn(ctx); err != nil {
			return err
		}
		s.printFiles()
		return nil
	})
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be trained on, and show what the model and the reward are sent; train nothing and write nothing")
	addResumeFlag(cmd, &resume)
	return cmd
}

// learn trains from where the run folder stands and exports the best checkpoint. Nothing is left to do when it is called
// again.
func (s *session) learn(ctx context.Context) error {
	report := &progress{label: s.label, parallel: s.parallel}
	defer report.finish()
	loop := &learn.Loop{
		Config: s.config, Client: s.llm, Base: s.base, Reward: s.reward,
		Train: s.train, Validation: s.validation, Folder: s.folder, Reporter: report, Resume: s.resume,
	}
	fmt.Fprintf(os.Stderr, "training in %s (BLAS: %s)\n", s.folder.Dir(), nn.BLAS())
	if advice := nn.BLASAdvice(); advice != "" {
		fmt.Fprintln(os.Stderr, "hint:", advice)
	}
	_, err := loop.Run(ctx)
	report.finish()
	if err != nil {
		if path := s.folder.Path(learn.LastCheckpoint); exists(path) {
			fmt.Fprintf(os.Stderr, "saved; it goes on from %s with:\n  %s\n", path, resumeLine(os.Args))
		}
		return err
	}
	best, err := loop.Best()
	if err != nil {
		return err
	}
	if err := s.export(best); err != nil {
		return err
	}
	return s.drawCurve()
}

// modelfile attaches the exported proxy to its base model.
func (s *session) modelfile() []byte {
	p := s.config.Proxy
	return fmt.Appendf(nil, `# Made by proxy-trainer. Where neither this file nor a request sets them, a reply uses the pool that the proxy was
# trained in: temperature %g, top_k %d, top_p %g, min_p %g, proxy_pt %g. It judges well only that pool.
FROM %s
ADAPTER ./%s
`, p.Temperature, p.TopK, p.TopP, p.MinP, p.PT, s.config.Model, proxyFile)
}

func (s *session) printFiles() {
	fmt.Println("\nfiles:")
	for _, name := range []string{proxyFile, modelfileFile, "config.yaml", "metrics.jsonl", learn.SamplesFile, learn.DroppedFile, learn.BestCheckpoint, curvePNG} {
		if path := s.folder.Path(name); exists(path) {
			fmt.Println("  " + filepath.Clean(path))
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
