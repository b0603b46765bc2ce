package env

import (
	"context"
	"errors"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"
)

// DoneCut is the DoneReason of a reply that the server ended without a final record.
const DoneCut = "cut"

// Rollout asks for all requests with at most parallel in flight and returns the replies in the order of the requests. done
// may be nil; it is called after each reply, one call at a time, in any order. A reply that the server cut off is there as far
// as it came, with the DoneReason DoneCut (see [Client.Chat]). Any other error ends the rollout.
//
// Neighbours with one prompt are asked for one after the other where there is work enough for all that run at once: the server
// then has the prompt's states in the slot that the reply before has left, and does not compute them again.
func Rollout(ctx context.Context, llm LLM, requests []Request, parallel int, done func(*Reply)) ([]Reply, error) {
	replies := make([]Reply, len(requests))
	var reporting sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(parallel, 1))
	one := func(i int) error {
		reply, err := llm.Reply(ctx, requests[i])
		if err != nil && !errors.Is(err, ErrCutOff) {
			return err
		}
		replies[i] = reply
		if done != nil {
			reporting.Lock()
			defer reporting.Unlock()
			done(&replies[i])
		}
		return nil
	}
	for from, to := range rows(requests, len(requests)/max(parallel, 1)) {
		g.Go(func() error {
			for i := from; i < to; i++ {
				if err := one(i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return replies, nil
}

// rows cuts requests into runs of neighbours with one prompt, of at most longest, or 1. They are yielded as from and to.
func rows(requests []Request, longest int) iter.Seq2[int, int] {
	return func(yield func(from, to int) bool) {
		for from := 0; from < len(requests); {
			to := from + 1
			for to < len(requests) && to-from < longest && requests[to].Prompt.ID == requests[from].Prompt.ID {
				to++
			}
			if !yield(from, to) {
				return
			}
			from = to
		}
	}
}
