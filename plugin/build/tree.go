package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"golang.org/x/mod/sumdb/dirhash"
)

// nestedEnv tells a build started by -exec's command that its parent holds the tree.
const nestedEnv = "PROXY_RLHF_BUILD_TREE"

// tree is a state of <cache>/src: Ollama as released, or with our patches.
type tree struct {
	name    string
	patches patchSet
	key     string // equal keys: equal content
}

func (b *builder) stockTree() tree {
	return tree{name: "stock", key: b.upstream.Sum}
}

func (b *builder) patchedTree() tree {
	return tree{name: "patched", patches: b.patches, key: b.upstream.Sum + " " + b.patches.hash}
}

// treeStamp is written beside the tree when it is complete.
type treeStamp struct {
	Key string // of the tree
	Sum string // over its files, to see that nobody has touched them since
}

func (b *builder) src() string       { return filepath.Join(b.cache, "src") }
func (b *builder) treeStamp() string { return filepath.Join(b.cache, "src.json") }

// withTree runs fn while <cache>/src is t. Processes that want the same tree share it;
// one that wants another waits until they are done.
func (b *builder) withTree(t tree, fn func() error) error {
	lock := flock.New(filepath.Join(b.cache, "lock"))
	defer lock.Close()
	for {
		if err := b.acquire(lock.TryRLock, lock.RLock); err != nil {
			return err
		}
		if b.holds(t) {
			return fn()
		}
		if err := lock.Unlock(); err != nil {
			return err
		}
		if held := os.Getenv(nestedEnv); held == b.cache {
			return fmt.Errorf("the %s tree is wanted, but this runs inside -exec, which holds another one in %s: build before -exec, or give -cache", t.name, b.cache)
		}
		if err := b.acquire(lock.TryLock, lock.Lock); err != nil {
			return err
		}
		if err := b.writeTree(t); err != nil {
			return err
		}
		// Back to sharing. Another process may slip in between, hence the loop.
		if err := lock.Unlock(); err != nil {
			return err
		}
	}
}

// acquire takes a lock, saying so if it has to wait.
func (b *builder) acquire(try func() (bool, error), wait func() error) error {
	ok, err := try()
	if err == nil && !ok {
		b.step.say("waiting for another build that uses %s", b.cache)
		err = wait()
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", b.cache, err)
	}
	return nil
}

// holds says whether src is t, whole and untouched.
func (b *builder) holds(t tree) bool {
	var stamp treeStamp
	data, err := os.ReadFile(b.treeStamp())
	if err != nil || json.Unmarshal(data, &stamp) != nil || stamp.Key != t.key {
		return false
	}
	sum, err := dirhash.HashDir(b.src(), "", dirhash.Hash1)
	return err == nil && sum == stamp.Sum
}

// writeTree makes src t, from scratch. The caller holds the exclusive lock.
func (b *builder) writeTree(t tree) error {
	if err := os.Remove(b.treeStamp()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	done := b.step.start("verify")
	if err := b.upstream.verify(); err != nil {
		return err
	}
	done("%s is what go.sum says", b.upstream.Sum)

	done = b.step.start("copy")
	if err := copyTree(b.src(), b.upstream.Dir); err != nil {
		return err
	}
	done("%s", b.src())

	if len(t.patches.patches)+len(t.patches.dropIns) > 0 {
		done = b.step.start("patch")
		if err := t.patches.apply(b.src()); err != nil {
			return err
		}
		done("%s", t.patches)
	}
	sum, err := dirhash.HashDir(b.src(), "", dirhash.Hash1)
	if err != nil {
		return err
	}
	return writeJSON(b.treeStamp(), treeStamp{Key: t.key, Sum: sum})
}
