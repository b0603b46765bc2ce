package main

import (
	"fmt"
	"os"
	"os/exec"
)

// exec runs the user's command in our root with Go pointed at the patched tree.
func (b *builder) exec(args []string) error {
	env, err := b.environment()
	if err != nil {
		return err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = b.root
	cmd.Env = append(append(os.Environ(), env...), nestedEnv+"="+b.cache)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// testUpstream runs Ollama's own tests of the packages that our patches touch.
func (b *builder) testUpstream(args []string) error {
	packages := b.patches.packages()
	if len(packages) == 0 {
		b.step.say("no package of Ollama is patched: nothing to test")
		return nil
	}
	if err := b.exec(append(append([]string{"go", "test"}, args...), packages...)); err != nil {
		return fmt.Errorf("upstream tests on the patched tree: %w", err)
	}
	return nil
}
