package proxy

import (
	"fmt"
	"sync"
)

// productCache remembers W_e·e, the candidate's half of the first layer, by token
// id, within a fixed amount of memory. Any number of goroutines may use it. When it
// is full, a token that was not asked for lately makes room (the clock algorithm).
type productCache struct {
	width int

	mu       sync.Mutex
	slots    map[int32]int // token → slot
	tokens   []int32       // slot → token
	used     []bool        // slot → asked for since the hand passed
	products []float32     // slot → width values
	hand     int
}

// entryOverhead is a token, its mark, and about its share of the map, in bytes.
const entryOverhead = 4 + 1 + 32

// newProductCache returns an empty cache for products of the given width. It has
// room for as many as fit into the bytes, and not for more than the vocabulary
// (0: unknown).
func newProductCache(width, vocabulary int, bytes int64) (*productCache, error) {
	entry := int64(width*4 + entryOverhead)
	n := bytes / entry
	if n < 1 {
		return nil, fmt.Errorf("%d bytes do not hold one entry of %d bytes: raise the size, or do without a cache", bytes, entry)
	}
	if vocabulary > 0 {
		n = min(n, int64(vocabulary))
	}
	return &productCache{
		width:    width,
		slots:    make(map[int32]int, n),
		tokens:   make([]int32, 0, n),
		used:     make([]bool, n),
		products: make([]float32, n*int64(width)),
	}, nil
}

// bytes returns the memory of a full cache.
func (c *productCache) bytes() int64 {
	return int64(len(c.products))*4 + int64(len(c.used))*entryOverhead
}

// load copies the token's product to dst and says whether it was there.
func (c *productCache) load(token int32, dst []float32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, ok := c.slots[token]
	if ok {
		c.used[slot] = true
		copy(dst, c.product(slot))
	}
	return ok
}

// store keeps a copy of the token's product.
func (c *productCache) store(token int32, product []float32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.slots[token]; ok {
		return // another evaluator was faster, with the same product
	}
	slot := len(c.tokens)
	if slot < cap(c.tokens) {
		c.tokens = append(c.tokens, token)
	} else {
		slot = c.evict()
		c.tokens[slot] = token
	}
	c.slots[token] = slot
	copy(c.product(slot), product)
}

// evict frees the first slot from the hand on that was not used since the hand
// passed it, and returns it.
func (c *productCache) evict() int {
	for c.used[c.hand] {
		c.used[c.hand] = false
		c.hand = (c.hand + 1) % len(c.tokens)
	}
	slot := c.hand
	c.hand = (c.hand + 1) % len(c.tokens)
	delete(c.slots, c.tokens[slot])
	return slot
}

func (c *productCache) product(slot int) []float32 {
	return c.products[slot*c.width : (slot+1)*c.width]
}
