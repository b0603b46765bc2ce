package main

import (
	"fmt"
	"io"
	"time"
)

// stepper prints what the build has done, one line a step.
type stepper struct{ w io.Writer }

// start begins a step; the function it returns ends it with the line to print.
func (s stepper) start(name string) func(format string, args ...any) {
	began := time.Now()
	return func(format string, args ...any) {
		fmt.Fprintf(s.w, "%-8s %s  (%.1f s)\n", name, fmt.Sprintf(format, args...), time.Since(began).Seconds())
	}
}

// say prints a line outside of a step.
func (s stepper) say(format string, args ...any) {
	fmt.Fprintf(s.w, "%-8s %s\n", "", fmt.Sprintf(format, args...))
}
