// Package testkit puts the whole of Mailwright into a test: NATS, Postgres with the projections'
// schema, the sandbox that stands in for the vendors, and the five services, as containers on a
// network of their own.
//
//	func TestJoiner(t *testing.T) {
//		mw := testkit.Start(t)
//		cmd := testkit.NewCommand(event.DelegationChangeData{
//			Mailbox: "alex@contoso.com", Add: []string{"megan.bowen@contoso.com"},
//		})
//		if err := mw.Publish(t.Context(), cmd); err != nil {
//			t.Fatal(err)
//		}
//		outcome, err := mw.AwaitOutcome(t.Context(), cmd)
//		if err != nil || outcome.State != event.StateSucceeded {
//			t.Fatal(outcome, err)
//		}
//	}
//
// Every [System] has servers, streams, database and tenant of its own, so tests can run in parallel
// and do not affect each other. Without Docker, [WithBackend] runs the same system on embedded
// servers and processes.
//
// # What is left behind
//
// Nothing. [System.Stop] removes containers, volumes and network, or processes and files. If the
// test is killed, its processes end with it (on Linux), and testcontainers' reaper removes its
// containers. Without the reaper's image, the next use of testkit on the same machine removes what
// belongs to processes that have ended. It touches only what has testkit's label, [Labels], or its
// name.
//
// # Settings of testcontainers
//
// Testcontainers is configured to work without its reaper if the reaper's image is not available,
// and to use the loopback address if the process is in a container that shares the engine's
// network, which a file /.dockerenv hides. TESTCONTAINERS_RYUK_DISABLED and
// TESTCONTAINERS_HOST_OVERRIDE are respected if they are set.
package testkit
