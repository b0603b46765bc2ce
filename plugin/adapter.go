package plugin

import (
	"fmt"
	"os"
	"sync"

	"github.com/ollama/ollama/fs/ggml"
)

var isProxy sync.Map // path of a blob → bool; blobs never change

// FindProxy returns the first of a model's adapters that is a proxy, or "" if none is.
func FindProxy(adapters []string) string {
	for _, path := range adapters {
		known, ok := isProxy.Load(path)
		if !ok {
			kind, err := adapterType(path)
			if err != nil {
				continue // Ollama reports it when it loads the adapter
			}
			known = kind == "proxy"
			isProxy.Store(path, known)
		}
		if known.(bool) {
			return path
		}
	}
	return ""
}

// adapterType reads a GGUF file's adapter.type. KV.String would look for it under the architecture's prefix.
func adapterType(path string) (kind string, err error) {
	defer func() {
		if p := recover(); p != nil { // ggml.Decode believes the lengths that a file claims
			err = fmt.Errorf("%s: the GGUF header is damaged: %v", path, p)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	g, err := ggml.Decode(f, 0)
	if err != nil {
		return "", err
	}
	kind, _ = g.KV()["adapter.type"].(string)
	if kind == "" && g.KV().Architecture() == "proxy_rlhf" {
		kind = "proxy"
	}
	return kind, nil
}
