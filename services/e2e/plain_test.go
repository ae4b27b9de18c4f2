package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// TestPlainPublisher runs a program that knows nothing but nats.go and pgx; see plain/main.go.
func TestPlainPublisher(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	cmd := exec.CommandContext(t.Context(), "go", "run", "./plain", "-nats", s.Endpoints.NATS, "-postgres", s.Endpoints.Postgres, "-run", "t")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"t-binary: io.mailwright.delegation.changed.v1",
		"t-structured: io.mailwright.delegation.observed.v1",
		"t-binary: row in mailwright.operations: succeeded",
		"t-structured: row in mailwright.operations: succeeded",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
}
