package env

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ollama/ollama/api"
)

// tries is how often something is asked for in all, which with waits of 0.5, 1, 2 and 4 s bears a server that restarts.
const tries = 5

// retry does something until it succeeds, or fails for good, or has failed too often.
func (c *Client) retry(ctx context.Context, do func() error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.Multiplier, wait.RandomizationFactor = 500*time.Millisecond, 2, 0
	if c.RetryWait > 0 {
		wait.InitialInterval = c.RetryWait
	}
	attempt := func() (struct{}, error) {
		err := do()
		if err != nil && !passing(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}
	_, err := backoff.Retry(ctx, attempt, backoff.WithBackOff(wait), backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(0))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// passing reports whether an error may pass by itself: no connection, or the server's own failure, such as a runner that died
// and is started again.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrCutOff) || errors.Is(err, ErrTimeout) {
		return false
	}
	var ours *fs.PathError
	var answered *APIError
	var status api.StatusError
	switch {
	case errors.As(err, &ours): // of the file to be sent
		return false
	case errors.As(err, &answered):
		return answered.Status >= 500
	case errors.As(err, &status):
		return status.StatusCode >= 500
	}
	return true
}
