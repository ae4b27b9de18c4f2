package e2e

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// pool holds idle systems that tests use one after another: to start a system takes longer than
// most tests take.
var pool struct {
	sync.Mutex
	idle []*env
}

// acquire returns a system from the pool. The commands and rows of earlier tests are still in it,
// and its vendors are reset. It is for tests that leave every operation with its outcome, and that
// do not count what is stored.
func acquire(t *testing.T) *env {
	t.Helper()
	s, err := takeIdle(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Vendors.Reset(context.Background()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			s.clean()
			return
		}
		pool.Lock()
		defer pool.Unlock()
		pool.idle = append(pool.idle, s)
	})
	return s
}

// takeIdle takes an idle system from the pool, or starts another.
func takeIdle(t *testing.T) (*env, error) {
	t.Helper()
	pool.Lock()
	if last := len(pool.idle) - 1; last >= 0 {
		defer pool.Unlock()
		s := *pool.idle[last]
		s.T, pool.idle = t, pool.idle[:last]
		return &s, nil
	}
	pool.Unlock()
	return run(context.Background(), t)
}

// runWithPool runs the tests, and then stops the systems in the pool.
func runWithPool(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mailwright-failpoints-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	failpointBin = dir
	code := m.Run()
	for _, s := range pool.idle {
		if err := s.Stop(); err != nil {
			fmt.Println("stop:", err)
			code = max(code, 1)
		}
		_ = os.RemoveAll(s.dir)
	}
	return code
}
