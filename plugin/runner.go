package plugin

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

// Host is the model that a runner serves, as far as a proxy is concerned. Its functions must be safe for concurrent use.
type Host struct {
	Base proxy.Base
	// CanRewind says that the model's cache can drop its last position, which lookahead needs.
	CanRewind bool
	// Embedding writes the token's row of the embedding matrix, d values, to dst.
	Embedding func(token int32, dst []float32) error
	// Piece is the token's text.
	Piece func(token int32) string
	// Siblings is for lookahead proxies, where CanRewind.
	Siblings Siblings
	// EndOfSequence reports whether the token ends a reply.
	EndOfSequence func(token int32) bool
}

// Runner is the proxies of one loaded model: its own, and those that requests name. Safe for concurrent use.
type Runner struct {
	host     Host
	own      *Loaded // nil: the model has none
	registry *Registry
}

// NewRunner loads the model's own proxy from adapter, or none when adapter is empty, and checks it against the model.
func NewRunner(host Host, adapter string) (*Runner, error) {
	r := &Runner{host: host, registry: NewRegistry(DefaultRegistryBytes)}
	if adapter == "" {
		return r, nil
	}
	own, err := load(digestOfPath(adapter), adapter)
	if err != nil {
		return nil, err
	}
	if err := r.check(own); err != nil {
		return nil, err
	}
	r.own = own
	return r, nil
}

// check refuses a proxy that cannot be applied to the model.
func (r *Runner) check(p *Loaded) error {
	warning, err := p.CheckBase(r.host.Base)
	if err != nil {
		return fmt.Errorf("proxy %s: %w", p.Digest, err)
	}
	if warning != "" {
		slog.Warn("proxy", "digest", p.Digest, "warning", warning)
	}
	if p.Features == proxy.Lookahead && !r.host.CanRewind {
		return fmt.Errorf("proxy %s: a lookahead proxy needs a cache that can rewind, and the one of a %s model (recurrent, hybrid or with an encoder) cannot: use a prefix proxy", p.Digest, r.host.Base.Architecture)
	}
	return nil
}

// GateOptions is what a gate needs of the request beside its proxy options.
type GateOptions struct {
	// Seed seeds exploration as Ollama's seed seeds sampling; -1 is a random one.
	Seed int
	// Grammar may be nil.
	Grammar Grammar
	// Logprobs: the caller will ask for [Gate.Logits].
	Logprobs bool
}

// Gate makes the gate of one sequence, loading the proxy that the request names. It returns nil when the request has none.
func (r *Runner) Gate(req *wire.Request, o GateOptions) (*Gate, error) {
	if req == nil || req.Off {
		return nil, nil
	}
	p := r.own
	if req.Digest != "" && (p == nil || p.Digest != req.Digest) {
		var err error
		if p, err = r.registry.Get(req.Digest, req.Path, r.check); err != nil {
			return nil, err
		}
	}
	if p == nil {
		return nil, ErrNoProxy
	}
	g := &Gate{
		proxy:      p,
		host:       &r.host,
		eval:       p.eval.Fork(),
		options:    poolOptions(p.Pool, req),
		cutoff:     p.Cutoff,
		grammar:    o.Grammar,
		features:   make([]float32, p.InputLength()),
		trace:      req.Trace,
		draw:       math.NaN(),
		siblings:   r.host.Siblings,
		keepLogits: o.Logprobs && p.Features == proxy.Lookahead,
		stats:      wire.Stats{Digest: p.Digest, Features: string(p.Features)},
	}
	g.embedding = g.readEmbedding
	if req.Cutoff != nil {
		g.cutoff = *req.Cutoff
	}
	if req.Explore {
		g.rng = explorer(o.Seed)
	}
	return g, g.options.Validate()
}

// explorer is the generator that actions are sampled with. The stream differs from that of Ollama's sampler, which a
// proxied request does not use.
func explorer(seed int) *rand.Rand {
	if seed == -1 {
		return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return rand.New(rand.NewPCG(uint64(seed), 0x70726f7879))
}
