package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/env"
)

// progress shows a run: one bar a phase on a terminal, plain lines elsewhere.
type progress struct {
	bar      *progressbar.ProgressBar // nil when not a terminal
	name     string
	total    int
	done     int
	began    time.Time
	lastLine time.Time
}

func (p *progress) Phase(name string, n int) {
	p.finish()
	p.name, p.total, p.done = name, n, 0
	p.began, p.lastLine = time.Now(), time.Now()
	if term.IsTerminal(int(os.Stderr.Fd())) {
		p.bar = progressbar.NewOptions(n,
			progressbar.OptionSetWriter(os.Stderr),
			progressbar.OptionSetDescription(name),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionFullWidth(),
		)
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %d replies\n", name, n)
}

func (p *progress) Reply(*env.Reply) {
	p.done++
	if p.bar != nil {
		_ = p.bar.Add(1)
		return
	}
	if time.Since(p.lastLine) > 20*time.Second {
		p.lastLine = time.Now()
		fmt.Fprintf(os.Stderr, "%s: %d/%d, %s left\n", p.name, p.done, p.total, p.left())
	}
}

func (p *progress) Batch(episodes int, m map[string]float64) {
	line := fmt.Sprintf("episodes %d  reward %+.2f  rejections/token %.2f  accept rate %.2f  %.0f tokens/s",
		episodes, m["charts/episodic_return"], m["proxy/rejections_per_token"], m["proxy/accept_rate"], m["proxy/tokens_per_second"])
	if dropped := m["proxy/episodes_dropped"]; dropped > 0 {
		line += fmt.Sprintf("  %.0f dropped", dropped)
	}
	if p.bar != nil {
		p.bar.Describe(line)
		return
	}
	p.lastLine = time.Now()
	fmt.Fprintf(os.Stderr, "%s: %s  %s left\n", p.name, line, p.left())
}

func (p *progress) left() time.Duration {
	if p.done == 0 {
		return 0
	}
	return (time.Since(p.began) * time.Duration(p.total-p.done) / time.Duration(p.done)).Round(time.Second)
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Exit()
		fmt.Fprintln(os.Stderr)
		p.bar = nil
	}
}
