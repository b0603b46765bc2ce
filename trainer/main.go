// Command proxy-trainer trains a proxy for a model that the patched ollama serves, evaluates it and exports it as an Ollama
// adapter. It is the only package that prints and parses a command line; what the commands do is in the sub-packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "interrupted")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:                        "proxy-trainer",
		Short:                      "Train a proxy: a small network that accepts or rejects the tokens of a frozen LLM",
		Args:                       knownCommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:               true,
		SilenceErrors:              true,
	}
	root.AddCommand(demoCommand(), trainCommand(), evalCommand(), exportCommand(), inspectCommand(), sweepCommand(), reportCommand(),
		importCommand(), doctorCommand())
	return root
}

// knownCommand refuses what is no command, in one line.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if similar := root.SuggestionsFor(args[0]); len(similar) > 0 {
		return fmt.Errorf("unknown command %q: did you mean %s?", args[0], strings.Join(similar, " or "))
	}
	return fmt.Errorf("unknown command %q: see proxy-trainer --help", args[0])
}

// configured makes a command that takes the configuration from a file, flags and the environment.
func configured(use, short string, do func(ctx context.Context, c config.Config) error) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path, cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			return do(cmd.Context(), c)
		},
	}
	configurationFlags(cmd, &path)
	return cmd
}

// configurationFlags adds the flags that set the configuration, and the one that names its file.
func configurationFlags(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "", "configuration file (YAML); flags and PROXY_RLHF_ variables win over it")
	config.AddFlags(cmd.Flags())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return config.FlagError(err) })
}
