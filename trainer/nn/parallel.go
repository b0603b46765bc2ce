package nn

import (
	"runtime"
	"sync"
)

// Parallel calls f for consecutive ranges of [0, n), size elements each, on all
// cores, and returns when all are done.
func Parallel(n, size int, f func(from, to int)) {
	pieces := (n + size - 1) / size
	workers := min(runtime.GOMAXPROCS(0), pieces)
	if workers <= 1 {
		for from := 0; from < n; from += size {
			f(from, min(from+size, n))
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for p := w; p < pieces; p += workers {
				f(p*size, min((p+1)*size, n))
			}
		})
	}
	wg.Wait()
}
