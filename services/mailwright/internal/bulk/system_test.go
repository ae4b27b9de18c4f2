package bulk_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/operation"
	"github.com/mailwright/mailwright/services/mailwright/internal/app"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
)

// outcomes carries delegation.change out as the name of the mailbox says, and counts how often.
func outcomes(calls *atomic.Int64) operation.Handler {
	return operation.Handler{Perform: func(_ context.Context, r *operation.Attempt) (operation.Reply, error) {
		calls.Add(1)
		var d event.DelegationChangeData
		if err := r.Decode(&d); err != nil {
			return operation.Reply{}, err
		}
		if d.Mailbox == "gone" {
			return operation.Reply{}, &failure.Error{Kind: failure.Refused, Vendor: "exchangeonline", Code: "HTTP 403", Text: "=not allowed"}
		}
		data := event.DelegationChangedData{Operation: r.Operation, Mailbox: d.Mailbox, Delegates: d.Add, Added: d.Add, Removed: []string{}, Changed: true}
		if d.Mailbox == "warned" {
			data.Warnings = []event.Warning{{Text: "one delegate is unknown"}}
		}
		return operation.Reply{Type: event.TypeDelegationChanged, Data: data}, nil
	}}
}

// lastLine of what is told.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// results are the states by row and attempt in a result file, the last of each.
func results(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, row := range rows[1:] {
		states[row[0]+"/"+row[3]] = row[4]
	}
	return states
}

func TestImport(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	var calls atomic.Int64
	env.Serve(t, event.DomainDelegation, map[string]operation.Handler{event.TypeDelegationChange: outcomes(&calls)})
	dir := files(t, map[string]string{"map.yaml": simple, "in.csv": "id,mailbox,add\n1,a,x\n2,gone,x\n3,warned,x\n4,b,x\n"})
	result := filepath.Join(dir, "in.result.csv")

	r := run(t, dir, "--nats-url", env.URL)
	want(t, r, app.ExitFailure, "mailwright: 3 succeeded (1 with warnings), 1 failed, 0 open")
	apptest.Golden(t, "import.txt", r.Err)
	raw, err := os.ReadFile(result)
	if err != nil || !strings.Contains(string(raw), "one delegate is unknown") {
		t.Errorf("%s, %v", raw, err)
	}
	if diff := cmp.Diff(map[string]string{"2/1": "succeeded", "3/1": "failed", "4/1": "succeeded", "5/1": "succeeded"}, results(t, result)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// A second run repeats nothing: neither by the result file, nor, without it, by the ids.
	for _, forget := range []bool{false, true} {
		if forget {
			if err := os.Remove(result); err != nil {
				t.Fatal(err)
			}
		}
		r := run(t, dir, "--nats-url", env.URL)
		want(t, r, app.ExitFailure, "mailwright: 3 succeeded (1 with warnings), 1 failed, 0 open")
		if calls.Load() != 4 {
			t.Fatalf("%d calls, want 4", calls.Load())
		}
	}

	// Another attempt carries out what failed, and once: its own second run finds the outcome.
	for range 2 {
		r := run(t, dir, "--nats-url", env.URL, "--only-failed", result, "--attempt", "2")
		want(t, r, app.ExitFailure, "mailwright: 0 succeeded, 1 failed, 0 open")
		if calls.Load() != 5 {
			t.Fatalf("%d calls, want 5", calls.Load())
		}
	}
	if got := results(t, result)["3/2"]; got != "failed" {
		t.Errorf("the second attempt is %q", got)
	}
}

func TestPlanAndJSON(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	dir := files(t, map[string]string{"map.yaml": simple, "in.csv": "id,mailbox,add\n1,a,x\n2,b,x\n3,,x\n"})
	r := run(t, dir, "--nats-url", env.URL, "--plan", "--no-wait", "--json", "--skip-invalid", "--rate", "1000")
	want(t, r, app.ExitFailure, "1 left out as invalid")
	stream, err := env.JS.Stream(t.Context(), topology.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil || m.Header.Get("ce-dryrun") != "true" {
		t.Fatalf("%v, %v", m, err)
	}
	var states []string
	for line := range strings.Lines(r.Out) {
		var record struct{ State string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		states = append(states, record.State)
	}
	if diff := cmp.Diff([]string{"invalid", "published", "published"}, states); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := results(t, filepath.Join(dir, "in.plan.csv")); len(got) != 3 {
		t.Errorf("%v", got)
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	var calls, begun atomic.Int64
	ctx, interrupt := context.WithCancel(t.Context())
	free := make(chan struct{})
	handler := outcomes(&calls)
	perform := handler.Perform
	handler.Perform = func(ctx context.Context, r *operation.Attempt) (operation.Reply, error) {
		if begun.Add(1) == 5 {
			interrupt()
			<-free
		}
		return perform(ctx, r)
	}
	env.Serve(t, event.DomainDelegation, map[string]operation.Handler{event.TypeDelegationChange: handler})
	var table strings.Builder
	table.WriteString("id,mailbox,add\n")
	for i := range 40 {
		fmt.Fprintf(&table, "%d,box%d,x\n", i, i)
	}
	dir := files(t, map[string]string{"map.yaml": simple, "in.csv": table.String()})
	r := apptest.Run(ctx, t, call(dir, "--nats-url", env.URL, "--in-flight", "2"))
	want(t, r, app.ExitNoOutcome, "interrupted; the same call goes on from here")
	if !strings.HasSuffix(lastLine(r.Err), "not published") {
		t.Errorf("%s", r.Err)
	}
	close(free)

	// A run that was killed may leave a part of a line.
	result := filepath.Join(dir, "in.result.csv")
	f, err := os.OpenFile(result, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, `40,"a torn li`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r = run(t, dir, "--nats-url", env.URL)
	want(t, r, 0, "results: DIR/in.result.csv")
	if got := lastLine(r.Out); got != "40 succeeded, 0 failed, 0 open" {
		t.Errorf("the last line is %q", got)
	}
	if calls.Load() != 40 {
		t.Errorf("%d calls, want each row's once", calls.Load())
	}
	if got := results(t, result); len(got) != 40 {
		t.Errorf("%d results", len(got))
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t) // nobody serves
	dir := files(t, map[string]string{"map.yaml": simple, "in.csv": "id,mailbox,add\n1,a,x\n"})
	r := run(t, dir, "--nats-url", env.URL, "--timeout", "300ms")
	want(t, r, app.ExitNoOutcome, "mailwright: 0 succeeded, 0 failed, 1 open")
	if got := results(t, filepath.Join(dir, "in.result.csv"))["2/1"]; got != "open" {
		t.Errorf("the row is %q", got)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	mapping := "type: directory.object.create\ntenant: contoso\nsource: /hr\nidentify: [id]\ndata:\n  createIn: OU=x\n  objectType: user\n  photo: '{{ .photo }}'\n" +
		"  properties: [{propertyName: cn, propertyType: String, values: ['{{ .id }}']}]\n"
	dir := files(t, map[string]string{"map.yaml": mapping, "in.csv": "id,photo\n1,AAAA\n2," + strings.Repeat("AAAA", 262_140) + "\n"})
	r := run(t, dir, "--nats-url", env.URL)
	want(t, r, app.ExitUsage, "nothing was published: row 3")
}

// TestScheduled: rows whose time has not come hold no slot, and nobody waits for them.
func TestScheduled(t *testing.T) {
	t.Parallel()
	env := apptest.Start(t)
	var calls atomic.Int64
	env.Serve(t, event.DomainDelegation, map[string]operation.Handler{event.TypeDelegationChange: outcomes(&calls)})
	day := time.Now().Add(240 * time.Hour).Format(time.DateOnly)
	dir := files(t, map[string]string{
		"map.yaml": simple + "notbefore: '{{ .day | date \"rfc3339\" }}'\n",
		"in.csv":   "id,mailbox,add,day\n1,a,x," + day + "\n2,b,x," + day + "\n3,c,x,\n",
	})
	r := run(t, dir, "--nats-url", env.URL, "--in-flight", "1", "--timeout", "20m")
	want(t, r, app.ExitNoOutcome, "mailwright: 1 succeeded, 0 failed, 2 open")
}
