package plugin

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// blobList is a Blobs that notes what it removes, and requests that name blobs.
type blobList struct {
	Blobs
	removed []string
}

func newBlobList(keep int) *blobList {
	b := &blobList{}
	b.Keep = keep
	b.Remove = func(digest string) { b.removed = append(b.removed, digest) }
	return b
}

// use starts a request with that blob and returns what ends it.
func (b *blobList) use(digest string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	b.Use(ctx, digest)
	return cancel
}

// used is a request from its start to its end.
func (b *blobList) used(digest string) { ended(b.use(digest)) }

// ended ends a request and waits until that has had its effect.
func ended(end func()) {
	end()
	synctest.Wait()
}

func (b *blobList) wantRemoved(t *testing.T, digests ...string) {
	t.Helper()
	if diff := cmp.Diff(digests, b.removed); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
}

func TestBlobsGoInOrderOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlobList(2)
		b.used("a")
		b.used("b")
		b.used("a") // now b is the least recently used
		b.wantRemoved(t)
		b.used("c")
		b.wantRemoved(t, "b")
		b.used("d")
		b.wantRemoved(t, "b", "a")
		b.used("b") // pushed again
		b.wantRemoved(t, "b", "a", "c")
	})
}

func TestBlobsInUseStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlobList(1)
		endA := b.use("a")
		endA2 := b.use("a")
		endB := b.use("b")
		endC := b.use("c")
		b.wantRemoved(t)
		ended(endB) // the only one without a request
		b.wantRemoved(t, "b")
		ended(endA)
		b.wantRemoved(t, "b") // a has another request
		ended(endA2)
		b.wantRemoved(t, "b", "a")
		ended(endC)
		b.wantRemoved(t, "b", "a") // c is within Keep
	})
}

func TestBlobsRemovedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlobList(3)
		var ends []func()
		for i := range 12 {
			digest := fmt.Sprint(i)
			ends = append(ends, b.use(digest), b.use(digest))
		}
		together(len(ends), func(i int) {
			ends[i]()
			ends[i]() // a context may be cancelled again
		})
		synctest.Wait()
		// Which ones stay depends on the order in which the requests ended.
		if len(b.removed) != 9 || len(slices.Compact(slices.Sorted(slices.Values(b.removed)))) != 9 {
			t.Errorf("removed %v, want 9 blobs, each once", b.removed)
		}
		if len(b.users) != 3 || len(b.order) != 3 {
			t.Errorf("%d users and %d in order are kept, want 3 of each", len(b.users), len(b.order))
		}
	})
}

func TestBlobsOfAnEndedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlobList(0)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for i := range DefaultKeptBlobs + 2 {
			b.Use(ctx, fmt.Sprint(i))
			synctest.Wait()
		}
		b.wantRemoved(t, "0", "1")
	})
}
