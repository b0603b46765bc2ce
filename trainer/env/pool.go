package env

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// LLM is where replies come from: one server (*[Client]) or several (*[Pool]). It may be shared by goroutines.
type LLM interface {
	// Reply asks for one reply, with a few more tries where a failure may pass. A reply that the server cut off is ErrCutOff.
	Reply(ctx context.Context, r Request) (Reply, error)
	// PushFile uploads a file as a blob to wherever replies may come from and returns its digest.
	PushFile(ctx context.Context, path string) (string, error)
}

var _, _ LLM = (*Client)(nil), (*Pool)(nil)

// Pool is several servers as one: each reply comes from the server with the most free slots. A server that fails although it
// was tried again is left out from then on, and what it was asked for goes to the others. All servers must have the same
// model, or what a proxy learns on one is of no use to another.
//
// Make one with [NewPool].
type Pool struct {
	// Warn may be nil; it is told of a server that is left out. It may be called by several goroutines. Set it before the
	// first request.
	Warn func(message string)

	mu      sync.Mutex
	workers []*worker
}

// worker is one server. Its fields belong to the pool's lock.
type worker struct {
	client *Client
	slots  int
	busy   int
	failed error // why it was left out
}

// NewPool makes a pool of clients, whose servers take slots[i] requests at once.
func NewPool(clients []*Client, slots []int) *Pool {
	p := &Pool{}
	for i, c := range clients {
		p.workers = append(p.workers, &worker{client: c, slots: max(slots[i], 1)})
	}
	return p
}

// Slots is the number of replies that the servers work on at once, all together.
func (p *Pool) Slots() int {
	n := 0
	for _, w := range p.workers {
		n += w.slots
	}
	return n
}

// ErrNoServers says that every server of a pool was left out.
var ErrNoServers = errors.New("no server is left")

// Reply implements [LLM].
func (p *Pool) Reply(ctx context.Context, r Request) (Reply, error) {
	for {
		w, err := p.take()
		if err != nil {
			return Reply{}, err
		}
		reply, err := w.client.Reply(ctx, r)
		p.give(w)
		if err == nil || ctx.Err() != nil || !servers(err) {
			return reply, err
		}
		p.leaveOut(w, err)
	}
}

// servers reports whether an error is the server's, so that another one may do better.
func servers(err error) bool { return passing(err) || errors.Is(err, ErrTimeout) }

// take picks the server with the largest share of its slots free, the first of several. More requests than slots are the
// caller's wish and queue at the servers.
func (p *Pool) take() (*worker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var best *worker
	for _, w := range p.workers {
		if w.failed == nil && (best == nil || w.busy*best.slots < best.busy*w.slots) {
			best = w
		}
	}
	if best == nil {
		return nil, p.allFailed()
	}
	best.busy++
	return best, nil
}

func (p *Pool) give(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.busy--
}

func (p *Pool) leaveOut(w *worker, err error) {
	p.mu.Lock()
	known := w.failed != nil
	if !known {
		w.failed = err
	}
	p.mu.Unlock()
	if !known && p.Warn != nil {
		p.Warn(fmt.Sprintf("%s is left out from now on: %v", w.client.Host(), err))
	}
}

// allFailed expects the lock to be held.
func (p *Pool) allFailed() error {
	errs := []error{ErrNoServers}
	for _, w := range p.workers {
		errs = append(errs, w.failed)
	}
	return errors.Join(errs...)
}

// PushFile implements [LLM]: to all servers at once.
func (p *Pool) PushFile(ctx context.Context, path string) (string, error) {
	var mu sync.Mutex
	digest := ""
	err := p.Each(ctx, func(c *Client) error {
		d, err := c.PushFile(ctx, path)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			digest = d
		}
		return err
	})
	return digest, err
}

// Each calls f for every server that has not been left out, all at once. One that fails in a way that others may not is left
// out; it is an error when none remains, or when f fails for another reason.
func (p *Pool) Each(ctx context.Context, f func(*Client) error) error {
	alive := p.alive()
	errs := make([]error, len(alive))
	var asked sync.WaitGroup
	for i, w := range alive {
		asked.Go(func() { errs[i] = f(w.client) })
	}
	asked.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, w := range alive {
		switch {
		case errs[i] == nil:
		case servers(errs[i]):
			p.leaveOut(w, errs[i])
		default:
			return errs[i]
		}
	}
	if len(p.alive()) > 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.allFailed()
}

func (p *Pool) alive() []*worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*worker
	for _, w := range p.workers {
		if w.failed == nil {
			out = append(out, w)
		}
	}
	return out
}
