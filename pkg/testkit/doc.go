// Package testkit puts the whole of Mailwright into a test: NATS, Postgres with the projections'
// schema, the sandbox that stands in for the vendors, and the five services, as containers on a
// network of their own.
//
//	func TestJoiner(t *testing.T) {
//		mw := testkit.Start(t)
//		cmd := testkit.NewCommand(event.DelegationChangeData{Mailbox: "alex@contoso.com", Add: []string{"megan.bowen@contoso.com"}})
//		if err := mw.Publish(t.Context(), cmd); err != nil {
//			t.Fatal(err)
//		}
//		outcome, err := mw.AwaitOutcome(t.Context(), cmd)
//		if err != nil || outcome.State != event.StateSucceeded {
//			t.Fatal(outcome, err)
//		}
//	}
//
// Every [System] has servers, streams, database and tenant of its own, so tests run side by side
// and see nothing of each other. Where there is no Docker, [WithBackend] runs the same on embedded
// servers and processes.
//
// # What is left behind
//
// Nothing. [System.Stop] removes containers, volumes and network, or processes and files. Where the
// test is killed, its processes end with it (on Linux), and testcontainers' reaper removes its
// containers if that image can be had; else the next use of testkit on the same machine removes
// what belongs to a process that is gone. It touches only what carries testkit's label, [Labels],
// or its name.
//
// # Traps that are handled
//
// Testcontainers is told, before it starts anything, to do without its reaper where that image cannot
// be had, and to use the loopback address where a file /.dockerenv makes it believe that it
// runs within a container although it shares the engine's network. TESTCONTAINERS_RYUK_DISABLED and
// TESTCONTAINERS_HOST_OVERRIDE count where they are set.
package testkit
