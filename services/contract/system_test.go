// Package contract holds docs/contract.md against real services. Its tests publish each row of the
// page's tables, in each content mode, and read what becomes of it. They do what a publisher in any
// language can do: they use nats.go and the page, and none of Mailwright's packages but the one
// that starts the system.
package contract

import (
	"cmp"
	"context"
	"flag"
	"os"
	"testing"

	"github.com/mailwright/mailwright/pkg/testkit"
	"github.com/mailwright/mailwright/services/internal/testprograms"
)

var update = flag.Bool("update", false, "write the tables of docs/contract.md anew")

// bin holds the programs.
var bin string

func TestMain(m *testing.M) {
	os.Exit(testprograms.Run(func(dir string) int {
		bin = dir
		return m.Run()
	}))
}

// start runs the part of the system that carries the commands of the tables out.
func start(t *testing.T) *testkit.System {
	t.Helper()
	backend := testkit.Backend(cmp.Or(os.Getenv("MAILWRIGHT_TEST_BACKEND"), string(testkit.Embedded)))
	s, err := testkit.Run(context.Background(), testkit.WithBackend(backend), testkit.WithPrograms(bin), testkit.WithServices("directory-svc"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}
