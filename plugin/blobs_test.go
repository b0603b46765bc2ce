package plugin

import (
	"context"
	"fmt"
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

// use starts a request with that blob; end ends it.
func (b *blobList) use(digest string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	b.Use(ctx, digest)
	return func() {
		cancel()
		synctest.Wait()
	}
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
		b.use("a")()
		b.use("b")()
		b.use("a")() // now b is the least recently used
		b.wantRemoved(t)
		b.use("c")()
		b.wantRemoved(t, "b")
		b.use("d")()
		b.wantRemoved(t, "b", "a")
		b.use("b")() // pushed again
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
		endB() // the only one without a request
		b.wantRemoved(t, "b")
		endA()
		b.wantRemoved(t, "b") // a has another request
		endA2()
		b.wantRemoved(t, "b", "a")
		endC()
		b.wantRemoved(t, "b", "a") // c is within Keep
	})
}

func TestBlobsRemovedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlobList(3)
		var ends []func()
		var want []string
		for i := range 12 {
			digest := fmt.Sprint(i)
			ends = append(ends, b.use(digest), b.use(digest))
			if i < 9 {
				want = append(want, digest)
			}
		}
		together(len(ends), func(i int) {
			ends[i]()
			ends[i]() // a context may be cancelled again
		})
		synctest.Wait()
		got := map[string]int{}
		for _, digest := range b.removed {
			got[digest]++
		}
		if len(b.removed) != len(want) {
			t.Errorf("removed %v, want %d blobs", b.removed, len(want))
		}
		for digest, n := range got {
			if n != 1 {
				t.Errorf("blob %s was removed %d times", digest, n)
			}
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
