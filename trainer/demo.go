package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
	"github.com/proxy-rlhf/proxy-rlhf/trainer/eval"
)

func demoCommand() *cobra.Command {
	return configured("demo", "Train, evaluate on held-out prompts, and say how to chat with the result; does only what is not done", demo)
}

func demo(ctx context.Context, c config.Config) error {
	s, err := open(ctx, c)
	if err != nil {
		return err
	}
	defer s.close()
	if !exists(s.folder.Path(proxyFile)) {
		if err := s.learn(ctx); err != nil {
			return err
		}
	}
	e, err := s.evaluation(ctx)
	if err != nil {
		return err
	}
	printEvaluation(e, eval.Plain)
	s.printFiles()
	s.printChat(os.Stdout)
	return nil
}

// evaluation is the run's, made now if it has none.
func (s *session) evaluation(ctx context.Context) (*eval.Evaluation, error) {
	e, err := eval.Read(s.folder.Path(eval.File))
	if errors.Is(err, fs.ErrNotExist) {
		return s.evaluate(ctx, demoPolicies)
	}
	return e, err
}

// printChat prints the commands that chat with the result: on the server that has it, or else on the demo's own port and model
// store.
func (s *session) printChat(w io.Writer) {
	binary, host := s.config.Ollama.Binary, "127.0.0.1:11555"
	fmt.Fprint(w, "\nto chat with it:\n")
	if s.server == nil {
		host = s.client.Host()
	} else {
		store, err := filepath.Abs(s.config.Ollama.Store)
		if err != nil {
			store = s.config.Ollama.Store
		}
		fmt.Fprintf(w, "  OLLAMA_HOST=%s OLLAMA_MODELS=%s HOME=%s %s serve &\n", host, filepath.Join(store, "models"), store, binary)
	}
	fmt.Fprintf(w, "  OLLAMA_HOST=%s %s run --verbose %s\n", host, binary, s.config.Name)
	fmt.Fprintf(w, "  OLLAMA_HOST=%s %s run %s      # the same model without the proxy\n", host, binary, s.config.Model)
}
