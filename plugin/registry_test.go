package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/proxy-rlhf/proxy-rlhf/proxy"
)

func fine(*Loaded) error { return nil }

// storedProxies are n proxies of one size, digests and paths.
func storedProxies(t *testing.T, n int) (digests, paths []string) {
	t.Helper()
	for i := range n {
		d, p := storeProxy(t, proxyModel(t, proxy.Lookahead, uint64(i), nil))
		digests, paths = append(digests, d), append(paths, p)
	}
	return digests, paths
}

func TestRegistryKeepsTheLatelyUsed(t *testing.T) {
	digests, paths := storedProxies(t, 4)
	size := func() int64 {
		p, err := NewRegistry(0).Get(digests[0], paths[0], fine)
		if err != nil {
			t.Fatal(err)
		}
		return p.Bytes()
	}()
	// A proxy that is alone stays, however small the capacity; 2.5 proxies are 2.
	for capacity, kept := range map[int64]int{0: 1, size: 1, 2 * size: 2, 5 * size / 2: 2, 3 * size: 3, 100 * size: 4} {
		loads := 0
		r := NewRegistry(capacity)
		get := func(i int) {
			t.Helper()
			p, err := r.Get(digests[i], paths[i], func(*Loaded) error { loads++; return nil })
			if err != nil {
				t.Fatal(err)
			}
			if p.Digest != digests[i] {
				t.Errorf("got proxy %s, want %s", p.Digest, digests[i])
			}
		}
		wantLoads := func(want int, when string) {
			t.Helper()
			if loads != want {
				t.Errorf("capacity %d: %d loads %s, want %d", capacity, loads, when, want)
			}
		}
		for i := range digests {
			get(i)
		}
		wantLoads(4, "at first")
		for i := 4 - kept; i < 4; i++ {
			get(i)
		}
		wantLoads(4, "of those that fit")
		if kept == 4 {
			continue
		}
		get(4 - kept) // now the most recent
		get(0)        // pushes out the one before it in use, if there is room for two
		wantLoads(5, "of one that had gone")
		if kept > 1 {
			get(4 - kept)
			wantLoads(5, "of one used again")
		}
	}
}

func TestRegistryLoadsOnce(t *testing.T) {
	digests, paths := storedProxies(t, 2)
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(DefaultRegistryBytes)
		other, err := r.Get(digests[1], paths[1], fine)
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		var loads atomic.Int32
		var got [32]*Loaded
		for i := range got {
			go func() {
				got[i], _ = r.Get(digests[0], paths[0], func(*Loaded) error {
					loads.Add(1)
					<-release
					return nil
				})
			}()
		}
		synctest.Wait() // one loads, 31 wait for it
		if p, err := r.Get(digests[1], paths[1], fine); err != nil || p != other {
			t.Errorf("while another proxy loads: %v, error %v, want the proxy in memory", p, err)
		}
		close(release)
		synctest.Wait()
		if n := loads.Load(); n != 1 {
			t.Errorf("%d loads for 32 requests, want 1", n)
		}
		for i, p := range got {
			if p == nil || p != got[0] {
				t.Errorf("request %d got %p, the first %p", i, p, got[0])
			}
		}
	})
}

// TestRegistryCountsWhatAProxyTakes: a small prefix proxy's cache is much more than its parameters, and a training run pushes
// hundreds of them.
func TestRegistryCountsWhatAProxyTakes(t *testing.T) {
	r := NewRegistry(DefaultRegistryBytes)
	digest, path := storeProxy(t, proxyModel(t, proxy.Prefix, 1, nil))
	if _, err := r.Get(digest, path, fine); err != nil {
		t.Fatal(err)
	}
	m, err := proxy.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	cache := int64(fakeVocab * 16 * 4) // a product of 16 float32 for each token
	if want := m.Bytes() + cache; r.bytes < want {
		t.Errorf("a proxy counts %d bytes, it takes %d at least", r.bytes, want)
	}
}

// TestRegistryConcurrently asks for more proxies than fit from many goroutines; the race detector looks on.
func TestRegistryConcurrently(t *testing.T) {
	digests, paths := storedProxies(t, 6)
	r := NewRegistry(3 * 1024)
	together(32, func(i int) {
		for k := range 20 {
			n := (i + k*(1+i%5)) % len(digests)
			if p, err := r.Get(digests[n], paths[n], fine); err != nil || p.Digest != digests[n] {
				t.Errorf("proxy %d: %v, error %v", n, p, err)
				return
			}
		}
	})
	var bytes int64
	for e := r.recent.Front(); e != nil; e = e.Next() {
		p := e.Value.(*Loaded)
		bytes += p.Bytes()
		if r.byName[p.Digest] != e {
			t.Errorf("proxy %s is not under its name", p.Digest)
		}
	}
	if bytes != r.bytes || len(r.byName) != r.recent.Len() {
		t.Errorf("%d bytes of %d proxies are accounted for, %d of %d are there", r.bytes, len(r.byName), bytes, r.recent.Len())
	}
	if r.bytes > 3*1024 && r.recent.Len() > 1 {
		t.Errorf("%d bytes are kept, at most %d fit", r.bytes, 3*1024)
	}
}

func TestRegistryErrors(t *testing.T) {
	digests, paths := storedProxies(t, 2)
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("not a proxy"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	refuse := func(*Loaded) error { return refused }
	for name, test := range map[string]struct {
		path  string
		check func(*Loaded) error
		is    error
		words string
	}{
		"another file": {paths[1], fine, nil, "its digest is " + digests[1]},
		"garbage":      {garbage, fine, nil, garbage},
		"missing":      {filepath.Join(t.TempDir(), "missing"), fine, os.ErrNotExist, "missing"},
		"no path":      {"", fine, os.ErrNotExist, digests[0]},
		"check":        {paths[0], refuse, refused, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRegistry(DefaultRegistryBytes)
			p, err := r.Get(digests[0], test.path, test.check)
			if p != nil || err == nil || !strings.Contains(err.Error(), test.words) || test.is != nil && !errors.Is(err, test.is) {
				t.Fatalf("proxy %v, error %v, want one with %q", p, err, test.words)
			}
			if test.is != refused && !strings.Contains(err.Error(), "proxy "+digests[0]) {
				t.Errorf("error %q does not name the proxy", err)
			}
			// Nothing of a failure stays: with the right file the same request works.
			if _, err := r.Get(digests[0], paths[0], fine); err != nil {
				t.Errorf("after the error: %v", err)
			}
			if r.recent.Len() != 1 {
				t.Errorf("%d proxies are kept, want 1", r.recent.Len())
			}
		})
	}
}
