package reward

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// endpoint is where a reward posts JSON to. It tries again after failures that
// may pass.
type endpoint struct {
	url     string
	name    string // the URL without a password, for errors
	header  http.Header
	client  *http.Client
	retries int
	wait    time.Duration
	// notFound is the way out of a 404.
	notFound string
}

// newEndpoint takes what both types that post have in common from a valid spec.
func newEndpoint(s Spec, address, notFound string) (*endpoint, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	e := &endpoint{
		url:      address,
		name:     u.Redacted(),
		header:   http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
		client:   &http.Client{Timeout: cmp.Or(s.Timeout, DefaultTimeout)},
		retries:  max(cmp.Or(s.Retries, DefaultRetries), 0),
		wait:     cmp.Or(s.RetryWait, DefaultRetryWait),
		notFound: notFound,
	}
	for key, value := range s.Headers {
		expanded, err := expand(value)
		if err != nil {
			return nil, fmt.Errorf("headers: %s: %w", key, err)
		}
		e.header.Set(key, expanded)
	}
	return e, nil
}

// expand puts environment variables in place of $NAME and ${NAME}, so that a
// token need not stand in a configuration that is saved with the run. $$ is $.
func expand(value string) (string, error) {
	var missing error
	out := os.Expand(value, func(name string) string {
		if name == "$" {
			return "$"
		}
		v, ok := os.LookupEnv(name)
		if !ok {
			missing = fmt.Errorf("environment variable %q is not set; export it, or write $$ for a dollar sign", name)
		}
		return v
	})
	return out, missing
}

// encode writes without HTML escaping: it is the same JSON, but replies with
// code in them stay readable in a server's log. It ends with a newline.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return buf.Bytes(), err
}

// post sends body and returns the body of the 200 that comes back, of limit
// bytes at most. Errors name the URL and the number of tries.
func (e *endpoint) post(ctx context.Context, body []byte, limit int64) ([]byte, error) {
	tries := 0
	attempt := func() ([]byte, error) {
		tries++
		return e.try(ctx, body, limit)
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.Multiplier = e.wait, 2
	out, err := backoff.Retry(ctx, attempt,
		backoff.WithBackOff(wait),
		backoff.WithMaxTries(uint(e.retries)+1),
		backoff.WithMaxElapsedTime(0)) // the caller's context and the number of tries bound it
	if err != nil {
		return nil, fmt.Errorf("POST %s, try %d of %d: %w", e.name, tries, e.retries+1, err)
	}
	return out, nil
}

// try posts once. Errors that a further try cannot mend are permanent.
func (e *endpoint) try(ctx context.Context, body []byte, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	req.Header = e.header.Clone()
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, e.networkError(ctx, err)
	}
	defer resp.Body.Close()

	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, e.networkError(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, e.statusError(resp, data)
	}
	if int64(len(data)) > limit {
		return nil, backoff.Permanent(fmt.Errorf("the response is larger than %d bytes; the server must answer with what is asked for and little else", limit))
	}
	return data, nil
}

// networkError adds the way out. A caller that gave up needs none.
func (e *endpoint) networkError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return backoff.Permanent(context.Cause(ctx))
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("no answer within %v; raise timeout, or send fewer replies at once", e.client.Timeout)
	}
	// The method and the URL are said once, by post.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("%w; is the server running, and is url right?", err)
}

// statusError keeps the start of what the server said. Overload and faults of
// the server may pass, after the time that it names if it names one; a refusal
// stays one.
func (e *endpoint) statusError(resp *http.Response, body []byte) error {
	text := strings.TrimSpace(string(body[:min(len(body), 200)]))
	err := fmt.Errorf("the server answered %s: %q", resp.Status, text)
	switch {
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		if seconds, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad == nil && seconds >= 0 {
			return fmt.Errorf("%w; see the server's log (%w)", err, backoff.RetryAfter(min(seconds, maxRetryAfter)))
		}
		return fmt.Errorf("%w; see the server's log", err)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return backoff.Permanent(fmt.Errorf("%w; give a token under headers", err))
	case resp.StatusCode == http.StatusNotFound:
		return backoff.Permanent(fmt.Errorf("%w; %s", err, e.notFound))
	}
	return backoff.Permanent(fmt.Errorf("%w; the server refuses the request itself", err))
}

// maxRetryAfter bounds, in seconds, how long a server may have a run wait.
const maxRetryAfter = 60

// field returns one field of a JSON object, whose others are ignored. The name
// must be spelt as it is, unlike in what encoding/json fills structs from.
func field(data []byte, name string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("it is not a JSON object: %w; it begins %.80q (JSON has no NaN or Infinity: such a reply must be mended or refused)", err, data)
	}
	raw, ok := fields[name]
	if !ok {
		return nil, fmt.Errorf("it has no field %q, only %q", name, slices.Sorted(maps.Keys(fields)))
	}
	return raw, nil
}
