package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
	"github.com/proxy-rlhf/proxy-rlhf/sampler"
)

// OptionError is an option that is out of range, of the wrong type, or asks for what this server or model cannot do. The
// server answers it with HTTP 400.
type OptionError struct {
	Option string // as in a request's options
	Want   string // the range, or what to do
	Got    any    // nil when the value does not matter
}

func (e *OptionError) Error() string {
	if e.Got == nil {
		return fmt.Sprintf("option %q: %s", e.Option, e.Want)
	}
	got, err := json.Marshal(e.Got)
	if err != nil {
		got = []byte(fmt.Sprint(e.Got))
	}
	return fmt.Sprintf("option %q: want %s, got %s", e.Option, e.Want, got)
}

// ErrNoProxy is a request that sets a proxy option where no proxy applies.
var ErrNoProxy = errors.New("this model has no proxy: attach one (FROM model, ADAPTER proxy.gguf) or name an uploaded one in the option \"proxy\"")

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Rollout reports whether this server was started for a trainer (OLLAMA_PROXY_ROLLOUT=1).
func Rollout() bool { return os.Getenv(wire.RolloutVariable) == "1" }

// optionNames are the proxy's options, in a request's options and in a Modelfile. The pool's four are Ollama's own.
var optionNames = []string{"proxy", "proxy_pt", "proxy_cutoff", "proxy_max_rejections", "proxy_explore", "proxy_trace"}

// CheckOptions checks the names, types and ranges of the proxy's options alone; the others are Ollama's to check. Its errors
// are [OptionError]s.
func CheckOptions(options map[string]any) error {
	_, p := parse(nil, options)
	return p.err
}

// ParseOptions reads the proxy's options out of a request's options and its model's (the Modelfile's PARAMETERs); the
// request wins. attached says whether the model carries a proxy of its own. It returns nil when no proxy is involved:
// then nothing of ours happens to the request. Other options than the proxy's and the pool's are left alone. Errors are
// [OptionError]s or [ErrNoProxy].
func ParseOptions(model, request map[string]any, attached bool) (*wire.Request, error) {
	req, p := parse(model, request)
	if p.err != nil {
		return nil, p.err
	}
	if req.Off {
		return nil, nil
	}
	if req.Digest == "" && !attached {
		if p.set {
			return nil, ErrNoProxy
		}
		return nil, nil
	}
	if req.Trace == wire.TraceFeatures && !Rollout() {
		return nil, &OptionError{Option: "proxy_trace", Want: `"features" needs a server started with ` + wire.RolloutVariable + `=1`}
	}
	req.Temperature = p.pool("temperature")
	req.TopP = p.pool("top_p")
	req.MinP = p.pool("min_p")
	if k := p.pool("top_k"); k != nil {
		n := int(*k)
		req.TopK = &n
	}
	return req, p.err
}

// parse reads all options but the pool's four.
func parse(model, request map[string]any) (*wire.Request, *optionParser) {
	p := &optionParser{maps: []map[string]any{request, model}}
	p.unknown()
	req := &wire.Request{
		PT:            p.float("proxy_pt", 0, 1),
		Cutoff:        p.float("proxy_cutoff", 0, 1),
		MaxRejections: p.count("proxy_max_rejections"),
		Explore:       p.bool("proxy_explore"),
		Trace:         p.choice("proxy_trace", wire.TraceOff, wire.TraceDecisions, wire.TraceFeatures),
	}
	switch name := p.string("proxy"); {
	case name == "":
	case name == wire.ProxyNone:
		req.Off = true
	case digestPattern.MatchString(name):
		req.Digest = name
	default:
		p.fail(&OptionError{"proxy", `"" (the model's own), "none" or "sha256:" and 64 lower-case hexadecimal digits`, name})
	}
	return req, p
}

// optionParser looks names up in maps, the first that has one wins, and keeps the first error.
type optionParser struct {
	maps []map[string]any
	set  bool // an option of the proxy was there
	err  error
}

func (p *optionParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// unknown refuses names that look like the proxy's and are none: Ollama drops what it does not know, and a mistyped p_t would
// be no p_t.
func (p *optionParser) unknown() {
	for _, m := range p.maps {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if strings.HasPrefix(strings.ToLower(name), "proxy") && m[name] != nil && !slices.Contains(optionNames, name) {
				nearest := slices.MinFunc(optionNames, func(a, b string) int {
					return levenshtein.ComputeDistance(a, name) - levenshtein.ComputeDistance(b, name)
				})
				p.fail(&OptionError{Option: name, Want: fmt.Sprintf("there is no such option, did you mean %q? The proxy's are %s", nearest, strings.Join(optionNames, ", "))})
			}
		}
	}
}

func (p *optionParser) lookup(name string) (any, bool) {
	for _, m := range p.maps {
		// Ollama takes an option that is null for one that is not there.
		if v, ok := m[name]; ok && v != nil {
			return v, true
		}
	}
	return nil, false
}

// own looks up one of the proxy's options. "" and false say what saying nothing says, so they do not ask for a proxy.
func (p *optionParser) own(name string) (any, bool) {
	v, ok := p.lookup(name)
	p.set = p.set || ok && v != "" && v != false
	return v, ok
}

func (p *optionParser) float(name string, low, high float64) *float64 {
	v, ok := p.own(name)
	if !ok {
		return nil
	}
	f, isNumber := number(v)
	if !isNumber || !(f >= low && f <= high) {
		p.fail(&OptionError{name, fmt.Sprintf("a number from %g to %g", low, high), v})
		return nil
	}
	return &f
}

func (p *optionParser) count(name string) *int {
	v, ok := p.own(name)
	if !ok {
		return nil
	}
	f, isNumber := number(v)
	if !isNumber || f < 0 || f > math.MaxInt32 || f != math.Trunc(f) {
		p.fail(&OptionError{name, "a whole number from 0 (no bound) up", v})
		return nil
	}
	n := int(f)
	return &n
}

func (p *optionParser) bool(name string) bool {
	v, ok := p.own(name)
	if !ok {
		return false
	}
	b, isBool := v.(bool)
	if !isBool {
		p.fail(&OptionError{name, "true or false", v})
	}
	return b
}

func (p *optionParser) string(name string) string {
	v, ok := p.own(name)
	if !ok {
		return ""
	}
	s, isString := v.(string)
	if !isString {
		p.fail(&OptionError{name, "a string", v})
	}
	return s
}

func (p *optionParser) choice(name string, choices ...string) string {
	s := p.string(name)
	for _, c := range choices {
		if s == c {
			return s
		}
	}
	p.fail(&OptionError{name, fmt.Sprintf("one of %q", choices), s})
	return ""
}

// pool reads one of the pool's four. Their types are Ollama's own business (it has refused a wrong one by now, or will), so
// another type counts as not set.
func (p *optionParser) pool(name string) *float64 {
	v, _ := p.lookup(name)
	f, ok := number(v)
	if !ok {
		return nil
	}
	return &f
}

// number reads what JSON, a Modelfile and Go callers put into Ollama's option maps.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case float32:
		return float64(n), true
	case int64:
		return float64(n), true
	case int:
		return float64(n), true
	}
	return 0, false
}

// poolOptions is file's pool with what the request and the Modelfile set put over it. Out-of-range values of the pool's four
// are not refused but clamped, as Ollama's sampler clamps them: temperature to 0 and up, top_p and min_p to 0 to 1, and a
// top_k below 1 is off. NaN cannot come: JSON has none.
func poolOptions(file sampler.Options, req *wire.Request) sampler.Options {
	o := file
	if req.Temperature != nil {
		o.Temperature = max(*req.Temperature, 0)
	}
	if req.TopK != nil {
		o.TopK = max(*req.TopK, 0)
	}
	if req.TopP != nil {
		o.TopP = min(max(*req.TopP, 0), 1)
	}
	if req.MinP != nil {
		o.MinP = min(max(*req.MinP, 0), 1)
	}
	if req.PT != nil {
		o.PT = *req.PT
	}
	if req.MaxRejections != nil {
		o.MaxRejections = *req.MaxRejections
	}
	return o
}
