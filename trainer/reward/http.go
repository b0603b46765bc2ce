package reward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// remote asks a reward model behind HTTP, by the contract of OpenRLHF's
// --remote_rm_url, so that its servers can be used as they are:
//
//	POST {"query": [prompt+reply, …], "prompts": [prompt, …], "labels": [label or null, …]}
//	200  {"rewards": [number or null, …], …}
//
// The null is ours: the server could not judge that reply.
type remote struct{ *endpoint }

// newRemote expects a valid spec.
func newRemote(s Spec) (Reward, error) {
	e, err := newEndpoint(s, s.URL, "check the path in url (OpenRLHF's server listens at /get_reward)")
	if err != nil {
		return nil, err
	}
	return remote{e}, nil
}

func (r remote) Score(ctx context.Context, samples []Sample) ([]float64, error) {
	n := len(samples)
	if n == 0 {
		return []float64{}, nil
	}
	body, err := encodeQuery(samples)
	if err != nil {
		return nil, fmt.Errorf("http reward: %w", err)
	}
	answer, err := r.post(ctx, body, responseLimit(n))
	if err != nil {
		return nil, fmt.Errorf("http reward, %d samples: %w", n, err)
	}
	scores, failures, err := decodeRewards(answer, n)
	if err != nil {
		return nil, fmt.Errorf("http reward: the response of %s: %w", r.name, err)
	}
	return partial(scores, failures)
}

// responseLimit is ample for n numbers and for what servers add to them.
func responseLimit(n int) int64 { return 1<<20 + 1<<10*int64(n) }

func encodeQuery(samples []Sample) ([]byte, error) {
	n := len(samples)
	q := struct {
		Query   []string          `json:"query"`
		Prompts []string          `json:"prompts"`
		Labels  []json.RawMessage `json:"labels"`
	}{make([]string, n), make([]string, n), make([]json.RawMessage, n)}
	for i, s := range samples {
		label, err := s.label()
		if err != nil {
			return nil, fmt.Errorf("sample %d of %d: %w", i+1, n, err)
		}
		q.Query[i], q.Prompts[i], q.Labels[i] = s.query(), s.Prompt, label
	}
	return encode(q)
}

var errUnjudged = errors.New("the server gave null for it")

// decodeRewards reads n finite numbers, or null for failures, from the field
// "rewards".
func decodeRewards(data []byte, n int) (scores []float64, failures []error, err error) {
	raw, err := field(data, "rewards")
	if err != nil {
		return nil, nil, err
	}
	// Pointers, because null would leave a float64 at 0 without an error.
	var rewards []*float64
	if err := json.Unmarshal(raw, &rewards); err != nil {
		return nil, nil, fmt.Errorf("\"rewards\" is not a flat list of numbers: %w; it begins %.80q", err, raw)
	}
	if len(rewards) != n {
		return nil, nil, fmt.Errorf("%d rewards for %d samples; the server must give one each, in their order", len(rewards), n)
	}
	scores, failures = make([]float64, n), make([]error, n)
	for i, x := range rewards {
		if x == nil {
			failures[i] = errUnjudged
			continue
		}
		scores[i] = *x
	}
	return scores, failures, finite(scores)
}
