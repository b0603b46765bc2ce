package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/report"
)

func reportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "report DIR…",
		Short: "Draw the paper's tables and figures from run folders: SVG, PNG and a page of HTML",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, dirs []string) error {
			if out == "" {
				out = filepath.Join(dirs[0], "report")
			}
			return writeReport(dirs, out)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "folder to write to; empty: report in the first folder")
	return cmd
}

func writeReport(dirs []string, out string) error {
	runs, err := report.ReadRuns(dirs)
	if err != nil {
		return err
	}
	files, err := report.Build(runs)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	fmt.Printf("%d runs\n\nfiles:\n", len(runs))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(out, name)
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("--output: %w", err)
		}
		fmt.Println("  " + path)
	}
	return nil
}
