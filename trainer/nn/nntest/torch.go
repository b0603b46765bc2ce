package nntest

import (
	"bufio"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/trainer/nn"
)

//go:embed torch_update.py
var torchUpdate string

// AgainstPyTorch times update, one update of an algorithm (ppo or sac) on features
// inputs and a minibatch of rows, and the same update in PyTorch on as many threads,
// one after the other in turns, so that what else the machine does strikes both. It
// reports seconds of each and the median of Go ÷ PyTorch. The Python is TORCH_PYTHON
// or python3; where it has no PyTorch the benchmark is skipped and says so.
func AgainstPyTorch(b *testing.B, algorithm string, inputs, hidden, rows int, update func() error) {
	b.Helper()
	torch := startTorch(b, algorithm, inputs, hidden, rows)
	if err := update(); err != nil { // warm
		b.Fatal(err)
	}
	var ours, theirs, ratios []float64
	for b.Loop() {
		start := time.Now()
		if err := update(); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(start).Seconds())
		theirs = append(theirs, torch())
		ratios = append(ratios, ours[len(ours)-1]/theirs[len(theirs)-1])
	}
	b.ReportMetric(median(ours), nn.BLAS()+"-s/update")
	b.ReportMetric(median(theirs), "torch-s/update")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op") // of both together: says nothing
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return (xs[(len(xs)-1)/2] + xs[len(xs)/2]) / 2
}

// startTorch starts the script and returns what makes it take an update, in seconds.
func startTorch(b *testing.B, algorithm string, sizes ...int) (update func() float64) {
	b.Helper()
	python := os.Getenv("TORCH_PYTHON")
	if python == "" {
		python = "python3"
	}
	args := []string{"-c", torchUpdate, algorithm}
	for _, n := range append(sizes, runtime.GOMAXPROCS(0)) {
		args = append(args, strconv.Itoa(n))
	}
	cmd := exec.Command(python, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Skipf("no PyTorch to compare with: %v", err)
	}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	next := func() string {
		if !lines.Scan() {
			b.Fatalf("the PyTorch script ended: %v", lines.Err())
		}
		return lines.Text()
	}
	if line := next(); line != "ready" {
		b.Skip(strings.TrimPrefix(line, "skip: "))
	}
	return func() float64 {
		fmt.Fprintln(in)
		seconds, err := strconv.ParseFloat(next(), 64)
		if err != nil {
			b.Fatal(err)
		}
		return seconds
	}
}
