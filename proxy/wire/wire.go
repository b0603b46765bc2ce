// Package wire has what a proxied request says on the wire, beside Ollama's own API: the options of a request, the counts
// of a reply, and the decisions of a trace (design §6).
//
// It is compiled into the patched ollama (its api, server and runner) and into the trainer, and depends on the standard
// library alone, so that neither side drags in the other. It is not for the proxy itself: that is package proxy. Values
// are plain data; share them between goroutines only for reading.
package wire

import (
	"fmt"
	"strings"
	"time"
)

// The values of the option proxy_trace.
const (
	TraceOff       = ""
	TraceDecisions = "decisions"
	TraceFeatures  = "features"
)

// ProxyNone is the value of the option proxy that switches the model's own proxy off for one request.
const ProxyNone = "none"

// RolloutVariable is the environment variable that, set to 1 for the server, allows what only a trainer needs: features
// in a trace, and the endpoints [StatesPath] and [TokensPath].
const RolloutVariable = "OLLAMA_PROXY_ROLLOUT"

// Request is a request's and its Modelfile's say about the proxy, as the server hands it to the runner. A nil pointer is
// an option that neither set; then the proxy file's own value holds.
type Request struct {
	// Digest names the proxy, "sha256:…"; empty is the model's own.
	Digest string `json:"digest,omitempty"`
	// Path is the blob of Digest. The server sets it after checking the digest; it never comes from a client.
	Path string `json:"path,omitempty"`
	// Off is true for proxy=none.
	Off bool `json:"off,omitempty"`

	PT            *float64 `json:"pt,omitempty"`
	Cutoff        *float64 `json:"cutoff,omitempty"`
	MaxRejections *int     `json:"max_rejections,omitempty"`

	// The pool's four, in Ollama's meaning.
	Temperature *float64 `json:"temperature,omitempty"`
	TopK        *int     `json:"top_k,omitempty"`
	TopP        *float64 `json:"top_p,omitempty"`
	MinP        *float64 `json:"min_p,omitempty"`

	// Explore samples the actions from the policy instead of taking the likelier one.
	Explore bool `json:"explore,omitempty"`
	// Trace is TraceOff, TraceDecisions or TraceFeatures.
	Trace string `json:"trace,omitempty"`
}

// Stats are the counts of one reply. Proposed = Accepted + Rejected + Forced; the reply has Accepted + Forced tokens, an
// end-of-sequence token among them.
type Stats struct {
	// Digest and Features say which proxy decided.
	Digest   string `json:"digest"`
	Features string `json:"features"`
	Proposed int    `json:"proposed"`
	Accepted int    `json:"accepted"`
	Rejected int    `json:"rejected"`
	Forced   int    `json:"forced"`
	// Forwards are the passes of the LLM that the decisions took: one a candidate for lookahead, one a token for prefix.
	Forwards int `json:"forwards"`
	// Duration is the time spent on pools and on the proxy, without the LLM's passes, in nanoseconds.
	Duration time.Duration `json:"duration"`
}

// Tokens is the length of the reply in tokens.
func (s Stats) Tokens() int { return s.Accepted + s.Forced }

// The values of Decision.Action.
const (
	Accept = "accept"
	Reject = "reject"
	Forced = "forced"
)

// Decision is what was decided about one candidate.
type Decision struct {
	// Position counts the reply's tokens from 0; rejected candidates have the position they were proposed for.
	Position int    `json:"position"`
	Token    int32  `json:"token"`
	Text     string `json:"text"`
	// Rank counts the pool's candidates from 0, Pool is how many there were.
	Rank int `json:"rank"`
	// Prob is the candidate's probability in the untouched pool, renormalised to 1.
	Prob float64 `json:"prob"`
	Pool int     `json:"pool"`
	// Action is Accept, Reject or Forced.
	Action string `json:"action"`
	// Accept is pi(accept), nil where the proxy was not asked.
	Accept *float64 `json:"accept,omitempty"`
	// Features is what the proxy's first layer took, little-endian float16 (base64 in JSON): d values, or for prefix 2d,
	// the hidden state first. Empty where the proxy was not asked or the features are not traced.
	Features []byte `json:"features,omitempty"`
}

// Split cuts decisions into runs whose JSON stays under limit bytes each, so that a line of them fits the buffer it is
// read with. A single decision is never cut.
func Split(decisions []Decision, limit int) [][]Decision {
	var runs [][]Decision
	start, size := 0, 0
	for i, d := range decisions {
		n := 256 + 6*len(d.Text) + (len(d.Features)+2)/3*4
		if i > start && size+n > limit {
			runs = append(runs, decisions[start:i])
			start, size = i, 0
		}
		size += n
	}
	if start < len(decisions) {
		runs = append(runs, decisions[start:])
	}
	return runs
}

// Summary is the lines that `ollama run --verbose` prints.
func (s Stats) Summary() string {
	return fmt.Sprintf("proxy:                %s, %s\nproxy decisions:      %d accepted, %d rejected, %d forced of %d proposed, %d forward(s)\nproxy duration:       %s\n",
		s.Digest, s.Features, s.Accepted, s.Rejected, s.Forced, s.Proposed, s.Forwards, s.Duration)
}

// Description is the field proxy of /api/show and /api/ps: the proxy that a model carries, as its file has it.
type Description struct {
	Digest   string `json:"digest,omitempty"`
	Features string `json:"features,omitempty"`
	// Parameters counts the weights and biases.
	Parameters int64 `json:"parameters,omitempty"`
	// PT and Cutoff hold where neither the request nor the Modelfile sets others.
	PT     *float64 `json:"p_t,omitempty"`
	Cutoff *float64 `json:"cutoff,omitempty"`
	// Reward is what the file says that the proxy was trained for.
	Reward string `json:"reward,omitempty"`
	// Error is why the proxy cannot be read; then the model answers nothing, and the fields above may be empty.
	Error string `json:"error,omitempty"`
}

// Rows lists the description as pairs of name and value, for people.
func (d Description) Rows() [][2]string {
	var rows [][2]string
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, [2]string{name, value})
		}
	}
	add("digest", d.Digest)
	add("error", d.Error)
	add("features", d.Features)
	if d.Parameters > 0 {
		add("parameters", human(d.Parameters))
	}
	if d.PT != nil {
		add("p_t", fmt.Sprint(*d.PT))
	}
	if d.Cutoff != nil {
		add("cutoff", fmt.Sprint(*d.Cutoff))
	}
	add("trained for", d.Reward)
	return rows
}

// String is the description in one line.
func (d Description) String() string {
	var parts []string
	for _, row := range d.Rows() {
		switch row[0] {
		case "digest", "features":
			parts = append(parts, row[1])
		case "parameters":
			parts = append(parts, row[1]+" parameters")
		default:
			parts = append(parts, row[0]+" "+row[1])
		}
	}
	return strings.Join(parts, ", ")
}

// human writes a number as Ollama does.
func human(n int64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "B"}, {1e6, "M"}, {1e3, "K"}} {
		if float64(n) >= unit.size {
			return fmt.Sprintf("%.4g%s", float64(n)/unit.size, unit.name)
		}
	}
	return fmt.Sprint(n)
}

// ServerVersion is the field proxy_rlhf of /api/version; a stock server has none.
type ServerVersion struct {
	Version string `json:"version"`
	// Patches is the hash of what was built in.
	Patches string `json:"patches"`
	// Rollout says that the server was started with OLLAMA_PROXY_ROLLOUT=1.
	Rollout bool `json:"rollout"`
	// Parallel is the number of requests that the server works on at once (OLLAMA_NUM_PARALLEL); 0: it does not say.
	Parallel int `json:"parallel,omitempty"`
}
