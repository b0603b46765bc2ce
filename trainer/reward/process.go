package reward

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	// maxLine bounds one line that a process writes, in bytes.
	maxLine = 1 << 20
	// grace is how long a process may take to end, first when its input ends
	// and then when it is asked to by a signal.
	grace = 2 * time.Second
	// keptStderr is how much of the end of its stderr is kept, in bytes.
	keptStderr = 1 << 10
)

// process is a running program that is spoken to in lines. All of its methods
// belong to one goroutine.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	lines  chan []byte // what it writes to stdout, closed at the end
	broken error       // why lines was closed, if not by the end; read it after that
	stderr tail
	quit   chan struct{} // closed when no more lines are wanted
	ended  chan struct{} // closed when the program has ended
}

// startProcess runs argv. It must be ended.
func startProcess(argv []string) (*process, error) {
	p := &process{
		cmd:   exec.Command(argv[0], argv[1:]...),
		lines: make(chan []byte),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = grace // for whatever inherited its stderr
	// In a group of its own: a Ctrl-C goes to the trainer, which saves first.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.stdin, p.stdout = stdin, stdout
	go p.read()
	return p, nil
}

// read passes on what the program writes, until it or the wish for more ends.
func (p *process) read() {
	scanner := bufio.NewScanner(p.stdout)
	scanner.Buffer(nil, maxLine)
	for wanted := true; wanted && scanner.Scan(); {
		select {
		case p.lines <- bytes.Clone(scanner.Bytes()):
		case <-p.quit:
			wanted = false
		}
	}
	p.broken = scanner.Err()
	close(p.lines)
	_ = p.cmd.Wait() // how it ended is in ProcessState
	close(p.ended)
}

// line returns the next line. Its errors say why there is none.
func (p *process) line(ctx context.Context, timeout time.Duration) ([]byte, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case line, ok := <-p.lines:
		if ok {
			return line, nil
		}
		return nil, p.why()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timer.C:
		return nil, fmt.Errorf("no answer within %v; raise timeout, or flush stdout after each line (python3 -u)", timeout)
	}
}

// why says why there are no more lines.
func (p *process) why() error {
	if errors.Is(p.broken, bufio.ErrTooLong) {
		return fmt.Errorf("it wrote a line of more than %d bytes", maxLine)
	}
	if p.broken != nil {
		return fmt.Errorf("read its answers: %w", p.broken)
	}
	select {
	case <-p.ended:
		return fmt.Errorf("it ended by itself (%v)", p.cmd.ProcessState)
	case <-time.After(grace):
		return errors.New("it closed its stdout")
	}
}

// end ends the program: by the end of its input, or else by force. What it has
// started and let go of may live on, but is no longer listened to. It is safe to
// call twice.
func (p *process) end() {
	_ = p.stdin.Close()
	select {
	case <-p.quit:
	default:
		close(p.quit)
	}
	group := -p.cmd.Process.Pid
	for _, force := range []func() error{
		func() error { return syscall.Kill(group, syscall.SIGTERM) },
		func() error { return syscall.Kill(group, syscall.SIGKILL) },
		p.stdout.Close,
	} {
		select {
		case <-p.ended:
			return
		case <-time.After(grace):
			_ = force()
		}
	}
	<-p.ended
}

// tail is a Writer that keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if extra := len(t.kept) - keptStderr; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(b), nil
}

// lastLines returns the last n lines, without white space around them.
func (t *tail) lastLines(n int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.kept), []byte("\n"))
	return bytes.Join(lines[max(len(lines)-n, 0):], []byte("\n"))
}
