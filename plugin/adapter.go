package plugin

import (
	"fmt"
	"sync"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
	"github.com/proxy-rlhf/proxy-rlhf/proxy/wire"
)

var isProxy sync.Map // path of a blob → bool; blobs never change

// FindProxy returns the first of a model's adapters that is a proxy, or "" if none is. It believes nothing that the files
// say of their sizes. An adapter that is missing, or too damaged to tell what it was, is an error: a model that had a proxy
// must not answer without it.
func FindProxy(adapters []string) (string, error) {
	for _, path := range adapters {
		known, ok := isProxy.Load(path)
		if !ok {
			is, err := proxy.IsProxy(path)
			if err != nil {
				return "", fmt.Errorf("the model's adapter cannot be read, so that nobody can say whether it is a proxy: create or pull the model again: %w", err)
			}
			known = is
			isProxy.Store(path, is)
		}
		if known.(bool) {
			return path, nil
		}
	}
	return "", nil
}

// Describe reads what `ollama show` says of the proxy among a model's adapters; nil is none. A proxy that cannot be read is
// described by its digest and the reason.
func Describe(adapters []string) *wire.Description {
	path, err := FindProxy(adapters)
	if err != nil {
		return &wire.Description{Error: err.Error()}
	}
	if path == "" {
		return nil
	}
	d := &wire.Description{Digest: digestOfPath(path)}
	h, err := proxy.ReadHeader(path)
	if err != nil {
		d.Error = err.Error()
		return d
	}
	d.Features, d.Parameters = string(h.Features), h.Parameters
	d.PT, d.Cutoff = &h.Pool.PT, &h.Cutoff
	if reward, ok := h.Training["reward"]; ok {
		d.Reward = fmt.Sprint(reward)
	}
	return d
}
