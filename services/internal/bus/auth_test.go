package bus_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/services/internal/bus"
)

func TestAConnectionNamesTheFileThatIsWrongAndNotWhatItHolds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		flags bus.AuthFlags
		names string
	}{
		"a seed that is none":                {bus.AuthFlags{NATSNKey: file}, file},
		"a seed that is not there":           {bus.AuthFlags{NATSNKey: file + "x"}, file + "x"},
		"an authority that is none":          {bus.AuthFlags{NATSCA: file}, file},
		"a certificate without its key":      {bus.AuthFlags{NATSCert: file}, "--nats-key"},
		"a key without its certificate":      {bus.AuthFlags{NATSKey: file}, "--nats-cert"},
		"two users":                          {bus.AuthFlags{NATSCreds: file, NATSNKey: file}, "--nats-nkey"},
		"a prefix of inboxes with a pattern": {bus.AuthFlags{NATSInboxPrefix: "_INBOX.>"}, "prefix"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := bus.ConnFlags{NATSURL: "nats://127.0.0.1:1", AuthFlags: c.flags}.Connect(t.Context(), "test", quiet)
			if err == nil || !strings.Contains(err.Error(), c.names) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error: %v", err)
			}
		})
	}
}
