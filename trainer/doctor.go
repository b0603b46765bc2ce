package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/doctor"
)

func doctorCommand() *cobra.Command {
	var path string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what would stop a run: server, model, engine, BLAS, memory, disk, settings; say what to do",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path, cmd.Flags(), os.Environ())
			return examine(cmd.Context(), c, err, asJSON, cmd.OutOrStdout())
		},
	}
	configurationFlags(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// examine prints what the doctor finds. A configuration that cannot be loaded is a finding too; then the rest is looked at with
// the defaults.
func examine(ctx context.Context, c config.Config, loading error, asJSON bool, w io.Writer) error {
	var findings []doctor.Finding
	if loading != nil {
		c = config.Default()
		for problem := range strings.SplitSeq(loading.Error(), "\n") {
			findings = append(findings, doctor.Finding{
				Check: "configuration", Status: doctor.Fail, Found: problem, Remedy: "correct it, or give a file with --config; the checks below take the defaults",
			})
		}
	}
	findings = append(findings, doctor.Examine(ctx, c, doctor.ThisMachine())...)
	if err := ctx.Err(); err != nil {
		return err
	}
	if asJSON {
		if err := writeJSON(w, findings); err != nil {
			return err
		}
	} else {
		printFindings(w, findings)
	}
	if n := doctor.Failed(findings); n > 0 {
		return fmt.Errorf("%d of %d checks failed", n, len(findings))
	}
	return nil
}

func printFindings(w io.Writer, findings []doctor.Finding) {
	var rows [][]string
	for _, f := range findings {
		rows = append(rows, []string{string(f.Status), f.Check, f.Found})
		if f.Remedy != "" {
			rows = append(rows, []string{"", "", "→ " + f.Remedy})
		}
	}
	writeTable(w, nil, rows)
}
