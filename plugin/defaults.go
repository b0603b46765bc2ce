package plugin

import (
	"context"
	"maps"
	"slices"
)

// defaultsKey is the context's key for the names that WithDefaults notes.
type defaultsKey struct{}

// WithDefaults notes in a request's context which of its options an endpoint has set by itself, because its API has other
// defaults than Ollama's. Where a proxy is involved, such an option counts as not set: the proxy file's value, or the
// Modelfile's, holds.
func WithDefaults(ctx context.Context, names ...string) context.Context {
	return context.WithValue(ctx, defaultsKey{}, names)
}

// ClientOptions are the options of a request less those that [WithDefaults] notes.
func ClientOptions(ctx context.Context, options map[string]any) map[string]any {
	names, _ := ctx.Value(defaultsKey{}).([]string)
	if len(names) == 0 {
		return options
	}
	options = maps.Clone(options)
	maps.DeleteFunc(options, func(name string, _ any) bool { return slices.Contains(names, name) })
	return options
}
