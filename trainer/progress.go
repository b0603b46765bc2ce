package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
)

// progress shows a run: one bar a phase on a terminal, plain lines elsewhere. The zero value shows it on standard error.
type progress struct {
	label    string    // before everything; "" for none
	out      io.Writer // nil: standard error
	terminal bool      // whether out is one; standard error is asked
	now      func() time.Time
	parallel int // replies in flight at once

	bar      *progressbar.ProgressBar // nil when not a terminal
	name     string
	total    int
	done     int
	began    time.Time
	lastLine time.Time
}

// quiet is how long nothing may happen before a plain line says how far a phase is.
const quiet = 20 * time.Second

func (p *progress) Phase(name string, n int) {
	p.finish()
	if p.out == nil {
		p.out, p.terminal = os.Stderr, term.IsTerminal(int(os.Stderr.Fd()))
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.label != "" {
		name = p.label + ": " + name
	}
	p.name, p.total, p.done = name, n, 0
	p.began, p.lastLine = p.now(), p.now()
	if !p.terminal {
		fmt.Fprintf(p.out, "%s: %d replies\n", name, n)
		return
	}
	p.bar = progressbar.NewOptions(n,
		progressbar.OptionSetWriter(p.out),
		progressbar.OptionSetDescription(name),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(10), // the numbers fill the rest of a line
	)
}

func (p *progress) Reply(*env.Reply) {
	p.done++
	if p.bar != nil {
		_ = p.bar.Add(1)
		return
	}
	if p.now().Sub(p.lastLine) > quiet {
		p.lastLine = p.now()
		fmt.Fprintf(p.out, "%s: %d/%d, %s left\n", p.name, p.done, p.total, p.left(min(p.parallel, p.total-p.done)))
	}
}

func (p *progress) Batch(episodes int, m map[string]float64) {
	dropped := ""
	if n := m["proxy/episodes_dropped"]; n > 0 {
		dropped = fmt.Sprintf("  %.0f dropped", n)
	}
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("%s: reward %+.2f, accept %.2f, %.0f tokens/s%s",
			p.name, m["charts/episodic_return"], m["proxy/accept_rate"], m["proxy/tokens_per_second"], dropped))
		return
	}
	p.lastLine = p.now()
	fmt.Fprintf(p.out, "%s: episodes %d  reward %+.2f  rejections/token %.2f  accept rate %.2f  %.0f tokens/s%s  %s left\n",
		p.name, episodes, m["charts/episodic_return"], m["proxy/rejections_per_token"], m["proxy/accept_rate"], m["proxy/tokens_per_second"], dropped, p.left(0))
}

// left is how long the phase will still take at the pace so far. Replies in flight count as half done: without them the first
// ones, which take as long as all that began with them, would make it look slow.
func (p *progress) left(flying int) time.Duration {
	if p.done == 0 {
		return 0
	}
	halves := 2*p.done + flying
	return (p.now().Sub(p.began) * time.Duration(2*p.total-halves) / time.Duration(halves)).Round(time.Second)
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Exit()
		fmt.Fprintln(p.out)
		p.bar = nil
	}
}
