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
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// remote asks a reward model behind HTTP, by the contract of OpenRLHF's
// --remote_rm_url, so that its servers can be used as they are:
//
//	POST {"query": [prompt+reply, …], "prompts": [prompt, …], "labels": [label or null, …]}
//	200  {"rewards": [number, …], …}
type remote struct {
	url     string
	name    string // the URL without a password, for errors
	header  http.Header
	client  *http.Client
	retries int
	wait    time.Duration
}

// newRemote expects a valid spec.
func newRemote(s Spec) (Reward, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	r := &remote{
		url:     s.URL,
		name:    u.Redacted(),
		header:  http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
		client:  &http.Client{Timeout: cmp.Or(s.Timeout, DefaultTimeout)},
		retries: max(cmp.Or(s.Retries, DefaultRetries), 0),
		wait:    cmp.Or(s.RetryWait, DefaultRetryWait),
	}
	for key, value := range s.Headers {
		expanded, err := expand(value)
		if err != nil {
			return nil, fmt.Errorf("headers: %s: %w", key, err)
		}
		r.header.Set(key, expanded)
	}
	return r, nil
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

func (r *remote) Score(ctx context.Context, samples []Sample) ([]float64, error) {
	if len(samples) == 0 {
		return []float64{}, nil
	}
	body, err := encodeQuery(samples)
	if err != nil {
		return nil, fmt.Errorf("http reward: %w", err)
	}
	tries := 0
	attempt := func() ([]float64, error) {
		tries++
		return r.post(ctx, body, len(samples))
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.Multiplier = r.wait, 2
	out, err := backoff.Retry(ctx, attempt,
		backoff.WithBackOff(wait),
		backoff.WithMaxTries(uint(r.retries)+1),
		backoff.WithMaxElapsedTime(0)) // the caller's context and the number of tries bound it
	if err != nil {
		return nil, fmt.Errorf("http reward: POST %s, %d samples, try %d of %d: %w", r.name, len(samples), tries, r.retries+1, err)
	}
	return out, nil
}

// encodeQuery refuses a label that is not JSON by the number of its sample.
func encodeQuery(samples []Sample) ([]byte, error) {
	n := len(samples)
	q := struct {
		Query   []string          `json:"query"`
		Prompts []string          `json:"prompts"`
		Labels  []json.RawMessage `json:"labels"`
	}{make([]string, n), make([]string, n), make([]json.RawMessage, n)}
	for i, s := range samples {
		if len(s.Label) > 0 && !json.Valid(s.Label) {
			return nil, fmt.Errorf("label of sample %d of %d is not JSON: %.80q", i+1, n, s.Label)
		}
		q.Query[i], q.Prompts[i] = s.Prompt+s.Reply, s.Prompt
		if len(s.Label) > 0 { // else nil, which is written as null
			q.Labels[i] = s.Label
		}
	}
	// Without HTML escaping: it is the same JSON, but replies with code in them
	// stay readable in a server's log.
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(q)
	return buf.Bytes(), err
}

// post makes one try. Errors that a further try cannot mend are permanent.
func (r *remote) post(ctx context.Context, body []byte, n int) ([]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	req.Header = r.header.Clone()
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, r.networkError(ctx, err)
	}
	defer resp.Body.Close()

	limit := responseLimit(n)
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, r.networkError(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp, data)
	}
	if int64(len(data)) > limit {
		return nil, backoff.Permanent(fmt.Errorf("the response is larger than %d bytes; the server must answer with {\"rewards\": […]} and little else", limit))
	}
	out, err := decodeRewards(data, n)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	return out, nil
}

// responseLimit is ample for n numbers and for what servers add to them.
func responseLimit(n int) int64 { return 1<<20 + 1<<10*int64(n) }

// networkError adds the way out. A caller that gave up needs none.
func (r *remote) networkError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return backoff.Permanent(context.Cause(ctx))
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("no answer within %v; raise timeout, or send fewer replies at once", r.client.Timeout)
	}
	// The method and the URL are said once, by Score.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("%w; is the reward server running, and is url right?", err)
}

// statusError keeps the start of what the server said. Overload and faults of
// the server may pass; a refusal stays one.
func statusError(resp *http.Response, body []byte) error {
	text := strings.TrimSpace(string(body[:min(len(body), 200)]))
	err := fmt.Errorf("the server answered %s: %q", resp.Status, text)
	switch {
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("%w; see the server's log", err)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return backoff.Permanent(fmt.Errorf("%w; give a token under headers", err))
	}
	return backoff.Permanent(fmt.Errorf("%w; check the path in url (OpenRLHF's server listens at /get_reward)", err))
}

// decodeRewards reads n finite numbers from the field "rewards" of a JSON
// object, whose other fields are ignored.
func decodeRewards(data []byte, n int) ([]float64, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("the response is not a JSON object: %w; it begins %.80q (JSON has no NaN or Infinity: a server must mend or refuse such a reply)", err, data)
	}
	raw, ok := fields["rewards"]
	if !ok {
		return nil, fmt.Errorf("the response has no field \"rewards\", only %q", slices.Sorted(maps.Keys(fields)))
	}
	// Pointers, because null would leave a float64 at 0 without an error.
	var rewards []*float64
	if err := json.Unmarshal(raw, &rewards); err != nil {
		return nil, fmt.Errorf("\"rewards\" is not a flat list of numbers: %w; it begins %.80q", err, raw)
	}
	if len(rewards) != n {
		return nil, fmt.Errorf("%d rewards for %d samples; the server must give one each, in their order", len(rewards), n)
	}
	out := make([]float64, n)
	for i, x := range rewards {
		if x == nil {
			return nil, fmt.Errorf("reward %d of %d is null; the server could not judge that reply and must answer with an error instead", i+1, n)
		}
		out[i] = *x
	}
	return out, finite(out)
}
