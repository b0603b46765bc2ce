package env

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"
)

// DoneCut is the DoneReason of a reply that the server ended without a final record.
const DoneCut = "cut"

// Rollout asks for all requests with at most parallel in flight and returns the replies in the order of the requests. done
// may be nil; it is called after each reply, one call at a time, in any order. A reply that the server cut off is there as far
// as it came, with the DoneReason DoneCut (see [Client.Chat]). Any other error ends the rollout.
func Rollout(ctx context.Context, llm LLM, requests []Request, parallel int, done func(*Reply)) ([]Reply, error) {
	replies := make([]Reply, len(requests))
	var reporting sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(parallel, 1))
	for i := range requests {
		g.Go(func() error {
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
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return replies, nil
}
