package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/learn"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/run"
)

func exportCommand() *cobra.Command {
	which := ""
	cmd := configured("export", "Write the GGUF file and the Modelfile of a run's checkpoint", func(_ context.Context, c config.Config) error {
		if !exists(c.RunFolder()) {
			return fmt.Errorf("run: there is no folder %s to export from: train first, or set --run or --name", c.RunFolder())
		}
		folder, err := run.Open(c.RunFolder(), nil)
		if err != nil {
			return err
		}
		defer folder.Close()
		s := &session{config: c, folder: folder}
		m, err := checkpoint(&learn.Loop{Config: c, Folder: folder}, which)
		if err != nil {
			return err
		}
		if err := s.export(m); err != nil {
			return err
		}
		s.printFiles()
		return nil
	})
	cmd.Flags().StringVar(&which, "checkpoint", "best", "which one: best (by validation), last, or the path of a checkpoint")
	return cmd
}

// checkpoint is the policy of the checkpoint that a user names.
func checkpoint(loop *learn.Loop, which string) (*proxy.Model, error) {
	switch which {
	case "best":
		return loop.Best()
	case "last":
		return loop.Checkpoint(loop.Folder.Path(learn.LastCheckpoint))
	}
	m, err := loop.Checkpoint(which)
	if err != nil {
		return nil, fmt.Errorf("--checkpoint %q: %w: want best, last, or the path of a checkpoint", which, err)
	}
	return m, nil
}

// export writes the proxy and a Modelfile that attaches it.
func (s *session) export(m *proxy.Model) error {
	if err := s.folder.WriteFile(modelfileFile, s.modelfile()); err != nil {
		return err
	}
	return m.WriteFile(s.folder.Path(proxyFile))
}
