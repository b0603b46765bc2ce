package main

import (
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/learn"
)

const resumeFlag = "resume"

func addResumeFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, resumeFlag, learn.ResumeAuto,
		"where to begin: auto goes on from the run folder's last checkpoint if there is one, never refuses such a folder, a path goes on from that checkpoint")
}

// resumeLine is the command line that goes on where a run of args stopped: the same, but for where it began.
func resumeLine(args []string) string {
	var kept []string
	for i := 0; i < len(args); i++ {
		switch flag := "--" + resumeFlag; {
		case args[i] == flag:
			i++ // and its value
		case !strings.HasPrefix(args[i], flag+"="):
			kept = append(kept, args[i])
		}
	}
	return shellescape.QuoteCommand(kept)
}
