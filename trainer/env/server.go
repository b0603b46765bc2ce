package env

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// ServerOptions says how to start a server.
type ServerOptions struct {
	// Binary is the patched ollama.
	Binary string
	// Store is the folder of its models; the server's other files (keys) go beside them. A user's own are not touched.
	Store string
	// Log gets what the server prints.
	Log string
	// Parallel is the number of replies at once, ContextLength the tokens of each.
	Parallel, ContextLength int
	// Environment is added to the server's, "NAME=value".
	Environment []string
}

// Server is a running bin/ollama of our own.
type Server struct {
	*Client
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Start starts a server on a free loopback port and waits until it answers.
func Start(ctx context.Context, o ServerOptions) (*Server, error) {
	store, err := filepath.Abs(o.Store)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(store, 0o755); err != nil {
		return nil, fmt.Errorf("ollama.store: %w", err)
	}
	binary, err := exec.LookPath(o.Binary)
	if err != nil {
		return nil, fmt.Errorf("ollama.binary: %w: build it with make build", err)
	}
	log, err := os.Create(o.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	host := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	client, err := NewClient(host)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "serve")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(),
		"OLLAMA_HOST="+host,
		"OLLAMA_MODELS="+filepath.Join(store, "models"),
		"HOME="+store,
		"OLLAMA_NUM_PARALLEL="+strconv.Itoa(o.Parallel),
		"OLLAMA_MAX_QUEUE="+strconv.Itoa(4*o.Parallel+512),
		"OLLAMA_CONTEXT_LENGTH="+strconv.Itoa(o.ContextLength),
		"OLLAMA_KEEP_ALIVE=-1",
		"OLLAMA_MAX_LOADED_MODELS=2",
		wire.RolloutVariable+"=1",
	)
	cmd.Env = append(cmd.Env, o.Environment...)
	// A Ctrl-C goes to the trainer, which stops the server after saving.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	s := &Server{Client: client, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(s.done)
	}()
	if err := s.wait(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w: see %s", err, o.Log)
	}
	return s, nil
}

func (s *Server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := s.Version(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return errors.New("the server ended at once")
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the server and its runners, politely first. It is safe to call twice.
func (s *Server) Stop() {
	group := -s.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-s.done
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("no free loopback port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
