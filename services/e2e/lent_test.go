package e2e

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// lent are the systems that tests have one after another: to start one takes longer than most tests
// do.
var lent struct {
	sync.Mutex
	idle []*system
}

// borrow gives a test a system that others had before: their commands and rows are there still, the
// vendors are as at first. It is for tests that leave every operation with its outcome, and take no
// count of what is stored.
func borrow(t *testing.T) *system {
	t.Helper()
	s, err := takeLent(t)
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
		lent.Lock()
		defer lent.Unlock()
		lent.idle = append(lent.idle, s)
	})
	return s
}

// takeLent takes an idle system, or starts another.
func takeLent(t *testing.T) (*system, error) {
	t.Helper()
	lent.Lock()
	if last := len(lent.idle) - 1; last >= 0 {
		defer lent.Unlock()
		s := *lent.idle[last]
		s.T, lent.idle = t, lent.idle[:last]
		return &s, nil
	}
	lent.Unlock()
	return run(context.Background(), t)
}

// withLent runs the tests, and stops what they have borrowed.
func withLent(m *testing.M) int {
	code := m.Run()
	for _, s := range lent.idle {
		if err := s.Stop(); err != nil {
			fmt.Println("stop:", err)
			code = max(code, 1)
		}
		_ = os.RemoveAll(s.dir)
	}
	return code
}
