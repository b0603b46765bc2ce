package reward

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// command asks a program that runs beside the trainer. For each reply it reads
// a line of JSON from its stdin and writes one to its stdout, in the same order:
//
//	{"query": prompt+reply, "prompt": prompt, "reply": reply, "label": label or null}
//	{"reward": number}, or {"error": text} for a reply that it cannot judge
//
// The program starts with the first reply and is used until Close. What it
// writes to stderr is quoted when it fails. Once it has failed, or a caller has
// given up on it in the middle, every Score is an error: the next line might be
// the answer to another question.
type command struct {
	argv    []string
	timeout time.Duration

	mu      sync.Mutex
	process *process // nil until the first Score
	over    error    // why the process has ended
}

// newCommand expects a valid spec.
func newCommand(s Spec) Reward {
	return &command{argv: s.Command, timeout: cmp.Or(s.Timeout, DefaultTimeout)}
}

func (c *command) Score(ctx context.Context, samples []Sample) ([]float64, error) {
	if len(samples) == 0 {
		return []float64{}, nil
	}
	questions, err := encodeQuestions(samples)
	if err != nil {
		return nil, fmt.Errorf("command reward: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over != nil {
		return nil, c.over
	}
	if c.process == nil {
		if c.process, err = startProcess(c.argv); err != nil {
			c.over = fmt.Errorf("command reward: start %s: %w", c.argv[0], err)
			return nil, c.over
		}
	}
	scores, failures, err := c.ask(ctx, questions, len(samples))
	if err != nil {
		c.process.end()
		c.over = fmt.Errorf("command reward: %q: %w%s", strings.Join(c.argv, " "), err, c.process.lastWords())
		return nil, c.over
	}
	return partial(scores, failures)
}

// lastWords quotes the end of stderr, if there is anything.
func (p *process) lastWords() string {
	if said := p.stderr.lastLines(5); len(said) > 0 {
		return fmt.Sprintf("; its stderr ends %q", said)
	}
	return ""
}

// encodeQuestions returns a line for each sample.
func encodeQuestions(samples []Sample) ([]byte, error) {
	var out []byte
	for i, s := range samples {
		label, err := s.label()
		if err != nil {
			return nil, fmt.Errorf("sample %d of %d: %w", i+1, len(samples), err)
		}
		line, err := encode(struct {
			Query  string          `json:"query"`
			Prompt string          `json:"prompt"`
			Reply  string          `json:"reply"`
			Label  json.RawMessage `json:"label"`
		}{s.query(), s.Prompt, s.Reply, label})
		if err != nil {
			return nil, err
		}
		out = append(out, line...)
	}
	return out, nil
}

// ask writes n questions and reads as many answers. Both go on at once, since a
// program may answer before it has read everything.
func (c *command) ask(ctx context.Context, questions []byte, n int) (scores []float64, failures []error, err error) {
	p := c.process
	select {
	case line, ok := <-p.lines:
		if !ok {
			return nil, nil, p.why()
		}
		return nil, nil, fmt.Errorf("it wrote %.80q unasked; want one line for each reply, and anything else on stderr", line)
	default:
	}
	written := make(chan error, 1)
	go func() {
		_, err := p.stdin.Write(questions)
		written <- err
	}()
	scores, failures = make([]float64, n), make([]error, n)
	for i := range n {
		line, err := p.line(ctx, c.timeout)
		if err != nil {
			return nil, nil, fmt.Errorf("answer %d of %d: %w", i+1, n, err)
		}
		if scores[i], failures[i], err = decodeAnswer(line); err != nil {
			return nil, nil, fmt.Errorf("answer %d of %d: %w", i+1, n, err)
		}
	}
	select {
	case err := <-written:
		return scores, failures, err
	case <-time.After(c.timeout):
		return nil, nil, errors.New("it has answered everything without reading everything")
	}
}

// decodeAnswer reads a line that the program wrote: a finite number, or a
// failure, which it says itself.
func decodeAnswer(line []byte) (score float64, failure, err error) {
	if raw, noError := field(line, "error"); noError == nil && string(raw) != "null" {
		return 0, fmt.Errorf("the command cannot judge it: %.200s", raw), nil
	}
	raw, err := field(line, "reward")
	if err != nil {
		return 0, nil, fmt.Errorf("%w; want {\"reward\": number} or {\"error\": text}, and anything else on stderr", err)
	}
	var x *float64
	if err := json.Unmarshal(raw, &x); err != nil || x == nil {
		return 0, nil, fmt.Errorf("its \"reward\" is %.80q, not a finite number; answer {\"error\": text} for a reply that cannot be judged", raw)
	}
	return *x, nil, nil
}

// Close ends the program.
func (c *command) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		c.process.end()
	}
	if c.over == nil {
		c.over = errors.New("command reward: it has been closed")
	}
	return nil
}

func (s Spec) validateCommand() error {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return errors.New("command: empty; give a program and its arguments as a list, such as [python3, -u, score.py]")
	}
	return s.validateTimeout()
}
