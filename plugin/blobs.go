package plugin

import (
	"context"
	"slices"
	"sync"
)

// Blobs is the server's list of the proxies that requests named, so that a training run, which pushes new weights for every
// update, leaves no pile of them on disk: Ollama itself removes a blob that no model refers to only when it starts. The
// least recently used goes when there are more than Keep and no request is using it. Safe for concurrent use.
type Blobs struct {
	// Keep is how many stay; 0 is DefaultKeptBlobs.
	Keep int
	// Remove deletes a blob unless a model refers to it.
	Remove func(digest string)

	mu    sync.Mutex
	order []string // the least recently used first
	users map[string]int
}

// DefaultKeptBlobs is how many pushed proxies a server keeps beyond those in use.
const DefaultKeptBlobs = 16

// Use notes that a request uses the blob until ctx is done.
func (b *Blobs) Use(ctx context.Context, digest string) {
	b.mu.Lock()
	if b.users == nil {
		b.users = map[string]int{}
	}
	b.users[digest]++
	b.order = append(slices.DeleteFunc(b.order, func(d string) bool { return d == digest }), digest)
	b.mu.Unlock()

	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.users[digest]--
		b.prune()
	})
}

func (b *Blobs) prune() {
	keep := b.Keep
	if keep == 0 {
		keep = DefaultKeptBlobs
	}
	for i := 0; i < len(b.order) && len(b.order) > keep; {
		digest := b.order[i]
		if b.users[digest] > 0 {
			i++
			continue
		}
		delete(b.users, digest)
		b.order = slices.Delete(b.order, i, i+1)
		b.Remove(digest)
	}
}
