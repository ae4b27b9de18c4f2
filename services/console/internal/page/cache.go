package page

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// share is which part of the time a cached reading may take: 1/share.
	share = 20
	// maxCached bounds how many readings a cache holds.
	maxCached = 200
)

// Cache keeps readings that cost more than a page's other ones. A reading that took d is kept for
// 20 × d, and for least at least: so it takes a twentieth of one connection, however many look.
type Cache[T any] struct {
	least time.Duration
	mu    sync.Mutex
	kept  map[string]cached[T]
}

type cached[T any] struct {
	value T
	until time.Time
}

// NewCache makes a cache.
func NewCache[T any](least time.Duration) *Cache[T] {
	return &Cache[T]{least: least, kept: map[string]cached[T]{}}
}

// Get reads by read, unless the reading of that key and of those tenants is kept.
func (c *Cache[T]) Get(ctx context.Context, r *Request, key string, read func(context.Context) (T, error)) (T, error) {
	key = fmt.Sprintf("%s %t %q", key, r.Person.Tenants == nil, r.Person.Tenants)
	began := time.Now()
	c.mu.Lock()
	have, ok := c.kept[key]
	c.mu.Unlock()
	if ok && began.Before(have.until) {
		return have.value, nil
	}
	value, err := read(ctx)
	if err != nil {
		return value, err
	}
	took := time.Since(began)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= maxCached {
		clear(c.kept)
	}
	c.kept[key] = cached[T]{value, time.Now().Add(max(c.least, share*took))}
	return value, nil
}
