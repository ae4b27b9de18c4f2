package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/benchmark"
)

// targetLoadedMemory is what the program may take while it keeps up.
const targetLoadedMemory = 100 << 20

// BenchmarkProjectionOfCommands measures what the rows of a command cost: CPU time of the program
// and of Postgres. Commands and their outcomes are published at a steady rate, each outcome 20 ms
// after its command.
func BenchmarkProjectionOfCommands(b *testing.B) {
	for b.Loop() {
		for _, load := range []struct{ perSecond, seconds int }{{100, 5}, {2000, 5}} {
			n := load.perSecond * load.seconds
			g := newGround(b)
			url, db := g.database()
			p := g.start(url)
			pairs := g.commands(200 + n)
			g.pace(pairs[:200], 400)
			g.awaitRows(db, 200)
			before := g.cpu(p)
			g.pace(pairs[200:], load.perSecond)
			g.awaitRows(db, 200+n)
			after := g.cpu(p)
			peak := peakMemory(p.Process.Pid)
			_ = p.Process.Signal(syscall.SIGTERM)
			_ = p.Wait()
			perCommand := func(i int) float64 { return (after[i] - before[i]) * 1e6 / float64(n) }
			name := fmt.Sprintf("rows of %d commands a second", load.perSecond)
			benchmark.Report(b,
				benchmark.Row{Name: name + ", CPU of projection-svc", Value: perCommand(0), Unit: "us a command", OK: true},
				benchmark.Row{Name: name + ", CPU of Postgres", Value: perCommand(1), Unit: "us a command", OK: true},
				benchmark.Row{Name: name + ", peak memory of projection-svc", Value: peak / (1 << 20), Unit: "MiB", Target: targetLoadedMemory >> 20, OK: peak < targetLoadedMemory})
		}
	}
}

// pair is a command and its outcome.
type pair struct{ command, outcome *nats.Msg }

// commands makes delegation.set commands and their outcomes.
func (g *ground) commands(n int) []pair {
	g.Helper()
	pairs := make([]pair, n)
	changed := example(g, event.TypeDelegationChanged)
	for i := range pairs {
		id, mailbox := fmt.Sprint(i), fmt.Sprintf("burst-%d@contoso.com", i)
		delegates := []string{"delegate1@contoso.com", "delegate2@contoso.com"}
		c, err := client.New("contoso", "/bench", id, event.DelegationSetData{Mailbox: mailbox, Delegates: delegates})
		if err != nil {
			g.Fatal(err)
		}
		command, receipt, err := c.Message()
		if err != nil {
			g.Fatal(err)
		}
		e := with(g, of(changed.Clone(), "/bench", id), map[string]any{"mailbox": mailbox, "delegates": delegates})
		header, body, err := event.Encode(e, event.Binary)
		if err != nil {
			g.Fatal(err)
		}
		subject := topology.EventSubject("contoso", event.DomainDelegation, receipt.OperationID)
		pairs[i] = pair{command, &nats.Msg{Subject: subject, Header: header, Data: body}}
	}
	return pairs
}

// pace publishes commands at a rate, and each outcome 20 ms after its command.
func (g *ground) pace(pairs []pair, perSecond int) {
	g.Helper()
	const delay = 20 * time.Millisecond
	send := func(m *nats.Msg) {
		if _, err := g.js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			g.Fatal(err)
		}
	}
	began, ended := time.Now(), 0
	for commanded := 0; ended < len(pairs); time.Sleep(time.Millisecond) {
		due := func(since time.Duration) int { return min(len(pairs), int(since.Seconds()*float64(perSecond))) }
		for now := due(time.Since(began)); commanded < now; commanded++ {
			send(pairs[commanded].command)
		}
		for now := due(time.Since(began) - delay); ended < now; ended++ {
			send(pairs[ended].outcome)
		}
	}
	<-g.js.PublishAsyncComplete()
}

// start runs the program itself.
func (g *ground) start(databaseURL string) *exec.Cmd {
	g.Helper()
	program := filepath.Join(g.TempDir(), "projection-svc")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		g.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(program)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GOGC=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "MAILWRIGHT_NATS_URL="+g.url, "MAILWRIGHT_DATABASE_URL="+databaseURL, "MAILWRIGHT_HTTP=127.0.0.1:0")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// awaitRows waits until so many operations have ended, and until the projections of their delegates
// and of commands are as far.
func (g *ground) awaitRows(db *pgxpool.Pool, n int) {
	g.Helper()
	for arrived, deadline := false, time.Now().Add(time.Minute); !arrived; time.Sleep(20 * time.Millisecond) {
		const done = `SELECT count(*) = 3 AND (SELECT count(*) FROM mailwright.operations WHERE finished_at IS NOT NULL) = $1
			FROM mailwright.checkpoints WHERE projection IN ('commands', 'operations', 'delegations') AND sequence = $1`
		if err := db.QueryRow(g.Context(), done, n).Scan(&arrived); err != nil {
			g.Fatal(err)
		}
		if time.Now().After(deadline) {
			g.Fatal("rows do not arrive")
		}
	}
}

// cpu gives the CPU time of the program and of Postgres, in seconds; zero where the system does not
// tell.
func (g *ground) cpu(cmd *exec.Cmd) (used [2]float64) {
	g.Helper()
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		g.Fatal(err)
	}
	for _, folder := range folders {
		raw, err := os.ReadFile(filepath.Join(folder, "stat"))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		const parent, user, ticks = 1, 11, 100 // proc_pid_stat(5); user and system, then those of children
		own, ended := 0.0, 0.0
		for i, sum := range []*float64{&own, &own, &ended, &ended} {
			t, _ := strconv.ParseFloat(fields[user+i], 64)
			*sum += t / ticks
		}
		switch postgres := strconv.Itoa(server.PID()); {
		case filepath.Base(folder) == strconv.Itoa(cmd.Process.Pid):
			used[0] += own
		case filepath.Base(folder) == postgres:
			used[1] += own + ended
		case fields[parent] == postgres:
			used[1] += own
		}
	}
	return used
}

// peakMemory of a process in bytes; 0 where the system does not tell.
func peakMemory(pid int) (peak float64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			peak = kib * 1024
		}
	}
	return peak
}
