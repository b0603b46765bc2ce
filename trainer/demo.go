package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/config"
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
	if path := s.folder.Path(evaluationFile); exists(path) {
		var e evaluation
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("%s: %w: remove it to evaluate again", path, err)
		}
		e.print()
	} else if err := s.evaluate(ctx); err != nil {
		return err
	}
	s.printFiles()
	s.printChat()
	return nil
}

// printChat prints the three commands that chat with the result, on the demo's own port and model store.
func (s *session) printChat() {
	store, err := filepath.Abs(s.config.Ollama.Store)
	if err != nil {
		store = s.config.Ollama.Store
	}
	binary := s.config.Ollama.Binary
	fmt.Printf(`
to chat with it:
  OLLAMA_HOST=127.0.0.1:11555 OLLAMA_MODELS=%s HOME=%s %s serve &
  OLLAMA_HOST=127.0.0.1:11555 %s run --verbose %s
  OLLAMA_HOST=127.0.0.1:11555 %s run %s      # the same model without the proxy
`, filepath.Join(store, "models"), store, binary, binary, s.config.Name, binary, s.config.Model)
}
