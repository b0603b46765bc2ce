package plugin

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

// Loaded is a proxy in memory, read-only and shared by every sequence that uses it.
type Loaded struct {
	proxy.Config
	Digest string           // sha256:…
	eval   *proxy.Evaluator // forked for each sequence; holds the parameters
}

// Bytes is the memory that the proxy takes: its parameters, and the evaluators' cache at its full size.
func (l *Loaded) Bytes() int64 { return l.eval.Bytes() }

// cacheBytes bounds what one proxy remembers of the tokens it was asked about.
const cacheBytes = 16 << 20

// load reads a proxy and checks that the file is the one that its digest names.
func load(digest, path string) (*Loaded, error) {
	m, err := proxy.Open(path)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", digest, err)
	}
	if err := verify(digest, path); err != nil {
		return nil, err
	}
	l := &Loaded{Config: m.Config, Digest: digest, eval: proxy.NewEvaluator(m)}
	if m.Features == proxy.Prefix && m.Norm == nil {
		if err := l.eval.EnableCache(cacheBytes); err != nil {
			return nil, fmt.Errorf("proxy %s: %w", digest, err)
		}
	}
	return l, nil
}

func verify(digest, path string) error {
	if digest == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("proxy %s: %w", digest, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("proxy %s: %w", digest, err)
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != digest {
		return fmt.Errorf("proxy %s: the stored file is damaged, its digest is %s: remove it and upload or create it again", digest, got)
	}
	return nil
}

// digestOfPath is the digest that a blob's file name says, or "" for a file outside a blob store.
func digestOfPath(path string) string {
	name := strings.Replace(filepath.Base(path), "sha256-", "sha256:", 1)
	if !digestPattern.MatchString(name) {
		return ""
	}
	return name
}

// DefaultRegistryBytes bounds the memory of the hot-loaded proxies that a runner keeps.
const DefaultRegistryBytes = 256 << 20

// Registry is the hot-loaded proxies, least recently used out first. A proxy that a sequence uses lives on in that sequence
// after it left. Safe for concurrent use; a proxy that is asked for by many at once is loaded once, and loading holds no lock
// that another request's token needs.
type Registry struct {
	capacity int64

	mu      sync.Mutex
	bytes   int64
	recent  *list.List // of *Loaded, the most recent in front
	byName  map[string]*list.Element
	loading singleflight.Group
}

// NewRegistry makes a registry of at most capacity bytes of proxies (see [Loaded.Bytes]); the proxy used last stays even if it alone is more.
func NewRegistry(capacity int64) *Registry {
	return &Registry{capacity: capacity, recent: list.New(), byName: map[string]*list.Element{}}
}

// Get returns the proxy of that digest, reading it from path and passing it through check when it is not in memory.
func (r *Registry) Get(digest, path string, check func(*Loaded) error) (*Loaded, error) {
	if p := r.lookup(digest); p != nil {
		return p, nil
	}
	v, err, _ := r.loading.Do(digest, func() (any, error) {
		if p := r.lookup(digest); p != nil {
			return p, nil
		}
		p, err := load(digest, path)
		if err == nil {
			err = check(p)
		}
		if err != nil {
			return nil, err
		}
		r.add(p)
		return p, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*Loaded), nil
}

func (r *Registry) lookup(digest string) *Loaded {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.byName[digest]
	if !ok {
		return nil
	}
	r.recent.MoveToFront(e)
	return e.Value.(*Loaded)
}

func (r *Registry) add(p *Loaded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[p.Digest] = r.recent.PushFront(p)
	r.bytes += p.Bytes()
	for r.bytes > r.capacity && r.recent.Len() > 1 {
		last := r.recent.Remove(r.recent.Back()).(*Loaded)
		delete(r.byName, last.Digest)
		r.bytes -= last.Bytes()
	}
}
