package inventory_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/sandboxapi"
	"github.com/mailwright/mailwright/services/internal/sandboxapi/sandboxtest"
)

// TestSyncTellsWhatHasChanged takes a mailbox through its life: new, unchanged, changed, missing,
// still missing, back.
func TestSyncTellsWhatHasChanged(t *testing.T) {
	t.Parallel()
	const (
		ann = `{"id":"ann","displayName":"Ann","itemCount":1,"recipientType":"User mailbox"}`
		bob = `{"id":"bob","displayName":"Bob","status":"Normal","firstName":"Bob"}`
	)
	v := newStub(t, ann, bob)
	b := newEnv(t, v.URL)
	b.serve()
	steps := []struct {
		name  string
		pages []string
		want  event.SyncCompletedData
		// stored is what is published about Bob, as change and what was there before; "" for
		// nothing.
		stored string
	}{
		{"the first time", []string{ann, bob}, event.SyncCompletedData{Seen: 2, New: 2, Pages: 2}, "new "},
		{"as before, in another order and shape", []string{bob, strings.Replace(ann, `1,`, `"1","archiveName":"N/A",`, 1)}, event.SyncCompletedData{Seen: 2, Unchanged: 2, Known: 2, Pages: 2}, ""},
		{"other facts", []string{ann, `{"id":"bob","displayName":"Bob","status":"Archived","alias":"b"}`}, event.SyncCompletedData{Seen: 2, Unchanged: 1, Changed: 1, Known: 2, Pages: 2},
			`changed {"alias":null,"firstName":"Bob","status":"Normal"}`},
		{"not listed", []string{ann}, event.SyncCompletedData{Seen: 1, Unchanged: 1, Known: 2, Absent: 1, Missing: 1, Pages: 1}, "missing "},
		{"still not listed", []string{ann}, event.SyncCompletedData{Seen: 1, Unchanged: 1, Known: 1, Pages: 1}, ""},
		{"back as he was last", []string{ann, `{"id":"bob","displayName":"Bob","status":"Archived","alias":"b"}`}, event.SyncCompletedData{Seen: 2, Unchanged: 1, Returned: 1, Known: 1, Pages: 2}, "returned "},
		{"repeated, and without an id", []string{ann + "," + bob, bob + "," + ann + `,{"displayName":"Nobody"}`},
			event.SyncCompletedData{Seen: 2, Unchanged: 1, Changed: 1, Known: 2, Duplicates: 2, Unidentified: 1, Pages: 2}, `changed {"alias":"b","firstName":null,"status":"Archived"}`},
	}
	for i, step := range steps {
		v.show(step.pages...)
		id := b.publish(fmt.Sprint("sync-", i), `{}`)
		b.want(step.name, b.outcome(id), step.want)
		list, _ := b.observations()
		e := list[topology.MailboxSubject(contoso, "bob")]
		var data struct {
			Previous any `json:"previous"`
		}
		if err := e.DataAs(&data); err != nil {
			t.Fatal(err)
		}
		got := ""
		if event.Extension(e, event.AttrOperationID) == id {
			got = event.Extension(e, event.AttrMailboxChange) + " "
			if data.Previous != nil {
				got += marshal(t, data.Previous)
			}
		}
		if got != step.stored {
			t.Errorf("%s: of Bob it is said %q, want %q", step.name, got, step.stored)
		}
		if !strings.Contains(string(e.Data()), `"displayName":"Bob"`) || e.Subject() != "Bob" {
			t.Errorf("%s: what is said of Bob lacks his facts: %s", step.name, e.Data())
		}
	}
}

// TestAMissingMailboxKeepsItsFacts compares what is said of it with what was said before.
func TestAMissingMailboxKeepsItsFacts(t *testing.T) {
	t.Parallel()
	v := newStub(t, `{"id":"ann"},{"id":"bob","displayName":"Bob","itemCount":7}`)
	b := newEnv(t, v.URL)
	b.serve()
	subject := topology.MailboxSubject(contoso, "bob")
	var observed event.MailboxObservedData
	var missing event.MailboxMissingData
	b.outcome(b.publish("1", `{}`))
	first := b.last(topology.StreamMailboxes, subject)
	v.show(`{"id":"ann"}`)
	done := b.outcome(b.publish("2", `{}`))
	last := b.last(topology.StreamMailboxes, subject)
	if err := first.DataAs(&observed); err != nil {
		t.Fatal(err)
	}
	if err := last.DataAs(&missing); err != nil || last.Type() != event.TypeMailboxMissing {
		t.Fatalf("%s %v", last.Type(), err)
	}
	if missing.MailboxID != "bob" || string(missing.Mailbox) != string(observed.Mailbox) || !missing.LastObservedAt.Equal(observed.ObservedAt) ||
		!missing.FirstObservedAt.Equal(observed.ObservedAt) || missing.ObservedAt.Before(done.StartedAt) || missing.SyncID != event.OperationID("contoso", source, "2") {
		t.Errorf("%s\nafter %s", last.Data(), first.Data())
	}
	if a, b := event.Extension(first, event.AttrContentHash), event.Extension(last, event.AttrContentHash); a != b || a == "" {
		t.Errorf("hash %q, then %q", a, b)
	}
}

// TestAWalkThatMissesTooMuchIsSuspect: it reports none as missing, unless it is told to.
func TestAWalkThatMissesTooMuchIsSuspect(t *testing.T) {
	t.Parallel()
	rows := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"id":"m%d"}`, i)
		}
		return strings.Join(list, ",")
	}
	for name, c := range map[string]struct {
		known, seen int
		command     string
		suspect     bool
	}{
		"a fifth":               {100, 80, `{}`, false},
		"more than a fifth":     {100, 79, `{}`, true},
		"as many as the floor":  {20, 10, `{}`, false},
		"more than half":        {11, 1, `{}`, true},
		"all of a small tenant": {3, 0, `{}`, true},
		"accepted":              {100, 0, `{"acceptMissing":true}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newStub(t, rows(c.known))
			b := newEnv(t, v.URL)
			b.serve()
			b.outcome(b.publish("1", `{}`))
			v.show(rows(c.seen))
			id := b.publish("2", c.command)
			absent := c.known - c.seen
			want := event.SyncCompletedData{Seen: c.seen, Unchanged: c.seen, Known: c.known, Absent: absent, Missing: absent, Pages: 1}
			if c.suspect {
				want.Suspect, want.Missing = true, 0
			}
			b.want(name, b.outcome(id), want)
			list, _ := b.observations()
			if got := len(changes(list, id)[event.ChangeMissing]); got != want.Missing {
				t.Errorf("%d reported missing, want %d", got, want.Missing)
			}
		})
	}
}

// TestARestrictedWalkMissesOnlyWhatItIsAbout: a walk over shared mailboxes says nothing of users,
// and one over a tenant nothing of others.
func TestARestrictedWalkMissesOnlyWhatItIsAbout(t *testing.T) {
	t.Parallel()
	const all = `{"id":"u1","recipientType":"User mailbox","tenantDomain":"a.example"},{"id":"s1","recipientType":"Shared mailbox","tenantDomain":"a.example"},` +
		`{"id":"s2","recipientType":"Shared mailbox","tenantId":"T2"},{"id":"x","recipientType":"Another mailbox","tenantDomain":"a.example"}`
	for command, want := range map[string][]string{
		`{"mailboxType":"shared"}`: {"s1", "s2"}, `{"mailboxType":"user"}`: {"u1"}, `{"tenant":"A.example"}`: {"s1", "u1", "x"}, `{"tenant":"t2"}`: {"s2"},
		`{"tenant":"a.example","mailboxType":"shared"}`: {"s1"}, `{"tenant":"elsewhere"}`: nil,
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			v := newStub(t, all)
			b := newEnv(t, v.URL)
			b.serve()
			b.outcome(b.publish("1", `{}`))
			v.show(`{"id":"new"}`)
			id := b.publish("2", strings.TrimSuffix(command, "}")+`,"acceptMissing":true}`) // all that were known are gone
			done := b.outcome(id)
			var got []string
			list, _ := b.observations()
			for _, e := range changes(list, id)[event.ChangeMissing] {
				var data event.MailboxMissingData
				if err := e.DataAs(&data); err != nil {
					t.Fatal(err)
				}
				got = append(got, data.MailboxID)
			}
			slices.Sort(got)
			if d := cmp.Diff(want, got); d != "" || done.Known != len(want) || done.Missing != len(want) {
				t.Errorf("%s%+v", d, done)
			}
		})
	}
}

// TestASecondSyncPublishesNothing, over the sandbox's mailboxes with all their shapes.
func TestASecondSyncPublishesNothing(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t)
	b := newEnv(t, s.URL)
	population := func(text string) {
		t.Helper()
		if err := s.Do(t.Context(), "POST", "enpower/population", []byte(text), nil); err != nil {
			t.Fatal(err)
		}
	}
	population(`{"count":2500}`)
	b.serve()
	const listed = 2500 + 30
	b.want("first", b.outcome(b.publish("1", `{}`)), event.SyncCompletedData{Seen: listed, New: listed, Pages: 3})
	_, written := b.observations()
	b.want("second", b.outcome(b.publish("2", `{}`)), event.SyncCompletedData{Seen: listed, Unchanged: listed, Known: listed, Pages: 3})
	if _, now := b.observations(); written != listed || now != written {
		t.Errorf("%d messages after the first sync, %d after the second; want %d", written, now, listed)
	}
	population(`{"count":2500,"changed":0.1,"removed":0.02}`)
	id := b.publish("3", `{}`)
	third := b.outcome(id)
	list, now := b.observations()
	by := changes(list, id)
	if third.Changed < 150 || third.Changed > 350 || third.Missing < 20 || third.Missing > 90 || third.Seen+third.Absent != listed ||
		len(by[event.ChangeChanged]) != third.Changed || len(by[event.ChangeMissing]) != third.Missing || int(now-written) != third.Changed+third.Missing {
		t.Errorf("%+v; published %d", third, now-written)
	}
	for _, e := range by[event.ChangeChanged] {
		var data event.MailboxObservedData
		if err := e.DataAs(&data); err != nil {
			t.Fatal(err)
		}
		if previous := string(data.Previous); !strings.HasPrefix(previous, `{"itemCount":`) && !strings.HasPrefix(previous, `{"deletedItemCount":`) {
			t.Errorf("previous %s", previous)
		}
	}
}

// TestTwoSyncsAtOnce of two replicas publish each mailbox once, and count the same.
func TestTwoSyncsAtOnce(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t)
	if err := s.Do(t.Context(), "POST", "enpower/population", []byte(`{"count":3000}`), nil); err != nil {
		t.Fatal(err)
	}
	b := newEnv(t, s.URL)
	ids := []string{b.publish("a", `{"pageSize":200}`), b.publish("b", `{"pageSize":500}`), b.publish("c", `{"pageSize":1000}`)}
	b.serve()
	b.serve()
	published := 0
	for _, id := range ids {
		done := b.outcome(id)
		published += done.New
		if done.Seen != 3030 || done.Changed+done.Returned+done.Missing > 0 {
			t.Errorf("%+v", done)
		}
	}
	if list, written := b.observations(); len(list) != 3030 || written != 3030 || published != 3030 {
		t.Errorf("%d mailboxes, %d messages written, %d counted as new", len(list), written, published)
	}
}

// TestACrashInMidWalk: another replica begins anew, publishes only what is lacking, and counts as
// if nothing had happened.
func TestACrashInMidWalk(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t)
	if err := s.Do(t.Context(), "POST", "enpower/population", []byte(`{"count":1000}`), nil); err != nil {
		t.Fatal(err)
	}
	slow := map[string]any{"vendor": "enpower", "call": "list-mailboxes", "kind": "latency", "params": map[string]string{"delay": "100ms"}}
	if err := s.Do(t.Context(), "POST", "faults", slow, nil); err != nil {
		t.Fatal(err)
	}
	b := newEnv(t, s.URL)
	kill := b.serve()
	id := b.publish("1", `{"pageSize":50}`)
	b.eventually("some observations", func() bool { _, written := b.observations(); return written >= 200 })
	kill()
	b.serve()
	if err := s.Do(t.Context(), "DELETE", "faults", nil, nil); err != nil {
		t.Fatal(err)
	}
	b.want("after the crash", b.outcome(id), event.SyncCompletedData{Seen: 1030, New: 1030, Pages: 21})
	if list, written := b.observations(); len(list) != 1030 || written != 1030 {
		t.Errorf("%d mailboxes, %d messages written", len(list), written)
	}
}

// TestAWalkOutlivesItsTokenAndTellsHowFarItIs: the vendor takes it longer than a call may take,
// revokes its token, and is away for a while.
func TestAWalkOutlivesItsTokenAndTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t)
	if err := s.Do(t.Context(), "POST", "enpower/population", []byte(`{"count":4000}`), nil); err != nil {
		t.Fatal(err)
	}
	slow := map[string]any{"vendor": "enpower", "call": "list-mailboxes", "kind": "latency", "params": map[string]string{"delay": "150ms"}}
	if err := s.Do(t.Context(), "POST", "faults", slow, nil); err != nil {
		t.Fatal(err)
	}
	b := newEnv(t, s.URL)
	b.serve()
	id := b.publish("1", `{"pageSize":50}`)
	b.eventually("some observations", func() bool { _, written := b.observations(); return written >= 200 })
	if err := s.Do(t.Context(), "DELETE", "tokens", nil, nil); err != nil {
		t.Fatal(err)
	}
	away := map[string]any{"vendor": "enpower", "kind": "status", "count": 3, "params": map[string]any{"status": 503, "retryAfter": "1"}}
	if err := s.Do(t.Context(), "POST", "faults", away, nil); err != nil {
		t.Fatal(err)
	}
	var progress event.SyncProgressData
	b.eventually("progress", func() bool {
		e := b.last(topology.StreamEvents, topology.EventSubject("contoso", event.DomainInventory, id))
		if e.Type() != event.TypeSyncProgress {
			return false
		}
		b.valid(e)
		return e.DataAs(&progress) == nil
	})
	if progress.Seen == 0 || progress.Seen > 4030 || progress.Pages == 0 || progress.Published == 0 || !progress.LeaseExpiresAt.After(progress.StartedAt.Add(5*time.Second)) {
		t.Errorf("%+v", progress)
	}
	done := b.outcome(id)
	b.want("in the end", done, event.SyncCompletedData{Seen: 4030, New: 4030, Pages: 81})
	if took := done.CompletedAt.Sub(done.StartedAt); took < 10*time.Second || done.Operation.Attempt != 1 {
		t.Errorf("attempt %d, took %v", done.Operation.Attempt, took)
	}
	if d := cmp.Diff([]string{event.ChangeNew}, slices.Sorted(maps.Keys(changes(first(b.observations()), id)))); d != "" {
		t.Error(d)
	}
}

func first[A, B any](a A, _ B) A { return a }

// TestRoomsAndEquipmentAreAListOfTheirOwn: EnPower lists them apart, so a walk over one list misses
// nothing of the other.
func TestRoomsAndEquipmentAreAListOfTheirOwn(t *testing.T) {
	t.Parallel()
	const users = `{"id":"u1","recipientType":"User mailbox"},{"id":"u2","recipientType":"User mailbox"}`
	const rooms = `{"id":"r1","recipientType":"Room mailbox"},{"id":"r2","recipientType":"Room mailbox"},{"id":"e1","recipientType":"Equipment mailbox"}`
	v := newStub(t, users)
	b := newEnv(t, v.URL)
	b.serve()
	for i, step := range []struct {
		shown, command string
		want           event.SyncCompletedData
	}{
		{users, `{}`, event.SyncCompletedData{Seen: 2, New: 2}},
		{rooms, `{"mailboxType":"resource"}`, event.SyncCompletedData{Seen: 3, New: 3}},
		{users, `{}`, event.SyncCompletedData{Seen: 2, Unchanged: 2, Known: 2}},
		{`{"id":"r1","recipientType":"Room mailbox"}`, `{"mailboxType":"room","acceptMissing":true}`, event.SyncCompletedData{Seen: 1, Unchanged: 1, Known: 2, Absent: 1, Missing: 1}},
		{rooms, `{"mailboxType":"resource"}`, event.SyncCompletedData{Seen: 3, Unchanged: 2, Returned: 1, Known: 2}},
	} {
		v.show(step.shown)
		got := b.outcome(b.publish(fmt.Sprint(i), step.command))
		if got.Seen != step.want.Seen || got.New != step.want.New || got.Unchanged != step.want.Unchanged || got.Known != step.want.Known ||
			got.Missing != step.want.Missing || got.Returned != step.want.Returned || got.Suspect {
			t.Errorf("%s: %+v", step.command, got)
		}
	}
	list, _ := b.observations()
	for _, e := range list {
		b.valid(e)
	}
}

// TestTenantsMayHaveAnIDInCommon: a mailbox of one tenant does not hide another's, nor take its
// place.
func TestTenantsMayHaveAnIDInCommon(t *testing.T) {
	t.Parallel()
	const here, there = `{"id":"ann","displayName":"Ann","tenantId":"t1"}`, `{"id":"ann","displayName":"Anna","tenantId":"t2"}`
	v := newStub(t, here, there, here)
	b := newEnv(t, v.URL)
	b.serve()
	b.want("both", b.outcome(b.publish("both", `{}`)), event.SyncCompletedData{Seen: 2, New: 2, Pages: 3, Duplicates: 1})
	v.show(there)
	gone := b.publish("one", `{"acceptMissing":true}`)
	b.want("one", b.outcome(gone), event.SyncCompletedData{Seen: 1, Unchanged: 1, Known: 2, Absent: 1, Missing: 1, Pages: 1})
	list, _ := b.observations()
	var missing event.MailboxMissingData
	if e := list[topology.MailboxSubject(contoso, "t1/ann")]; len(list) != 2 || e.DataAs(&missing) != nil || missing.MailboxID != "ann" || e.Type() != event.TypeMailboxMissing {
		t.Errorf("%d observations, missing is %+v", len(list), missing)
	}
}

// TestCredentialsAreMendedInTheMeantime: a secret that has expired is no answer to a command. The
// operation says what to correct, and waits.
func TestCredentialsAreMendedInTheMeantime(t *testing.T) {
	t.Parallel()
	box := sandboxtest.Start(t)
	if err := box.Apply(t.Context(), sandboxapi.Script{Faults: []sandboxapi.Fault{{Vendor: "enpower-identity", Kind: "status", Params: sandboxapi.Params{Status: 401, Body: `{"error":"invalid_client"}`}}}}); err != nil {
		t.Fatal(err)
	}
	b := newEnv(t, box.URL)
	b.serve()
	operationID := b.publish("corrected", `{"mailboxType":"all"}`)
	var waiting event.WaitingData
	b.eventually("a waiting event", func() bool {
		e := b.last(topology.StreamEvents, topology.EventSubject("contoso", event.DomainInventory, operationID))
		return e.Type() == event.WaitingType(event.DomainInventory) && e.DataAs(&waiting) == nil
	})
	if f := waiting.Failure; f == nil || f.Kind != "unavailable" || f.Code != "invalid_client" || !strings.Contains(f.Text, "clientSecret") {
		t.Errorf("it waits because of %+v", f)
	}
	if err := box.Do(t.Context(), http.MethodDelete, "faults", nil, nil); err != nil {
		t.Fatal(err)
	}
	if done := b.outcome(operationID); done.Seen == 0 {
		t.Errorf("%+v", done)
	}
}
