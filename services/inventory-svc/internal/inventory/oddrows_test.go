package inventory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// large is more than a message may have: NATS takes 1 MiB.
const large = 1_100_000

// warned checks that a result's warnings name all of these, each in a warning of its own.
func (b *env) warned(what string, done event.SyncCompletedData, each ...[]string) {
	b.Helper()
	if len(done.Warnings) != len(each) {
		b.Errorf("%s: %d warnings, want %d: %.2000v", what, len(done.Warnings), len(each), done.Warnings)
		return
	}
	for i, names := range each {
		for _, name := range names {
			if !strings.Contains(done.Warnings[i].Text, name) {
				b.Errorf("%s: warning %q does not name %q", what, done.Warnings[i].Text, name)
			}
		}
	}
}

// TestAMailboxTooLargeForAMessage is published without what is too large, and stops no other.
func TestAMailboxTooLargeForAMessage(t *testing.T) {
	t.Parallel()
	const ann, cleo = `{"id":"ann","displayName":"Ann"}`, `{"id":"cleo","displayName":"Cleo"}`
	bob := func(n int, letter, status string) string {
		return fmt.Sprintf(`{"id":"bob","displayName":"Bob","status":%q,"metadata":[{"name":"Notes","value":%q}]}`, status, strings.Repeat(letter, n))
	}
	v := newStub(t, ann+","+bob(large, "x", "Normal")+","+cleo)
	b := newEnv(t, v.URL)
	b.serve()
	observed := func() (e event.Event, data event.MailboxObservedData) {
		e = b.last(topology.StreamMailboxes, topology.MailboxSubject(contoso, "bob"))
		if err := e.DataAs(&data); err != nil {
			t.Fatal(err)
		}
		b.valid(e)
		return e, data
	}
	for i, step := range []struct {
		name     string
		rows     string
		want     event.SyncCompletedData
		warnings [][]string
		omitted  []string
		previous string // what it begins with
	}{
		{"new", ann + "," + bob(large, "x", "Normal") + "," + cleo, event.SyncCompletedData{Seen: 3, New: 3, Truncated: 1, Pages: 1},
			[][]string{{"Bob", "bob", "metadata"}}, []string{"metadata"}, ""},
		{"unchanged", ann + "," + bob(large, "x", "Normal"), event.SyncCompletedData{Seen: 2, Unchanged: 2, Known: 3, Absent: 1, Missing: 1, Truncated: 1, Pages: 1},
			[][]string{{"Bob", "bob", "metadata"}}, []string{"metadata"}, ""},
		{"changed beside it", ann + "," + bob(large, "x", "Archived"), event.SyncCompletedData{Seen: 2, Unchanged: 1, Changed: 1, Known: 2, Truncated: 1, Pages: 1},
			[][]string{{"Bob", "bob", "metadata"}}, []string{"metadata"}, `{"status":"Normal"}`},
		{"small enough by itself", ann + "," + bob(600_000, "y", "Archived"), event.SyncCompletedData{Seen: 2, Unchanged: 1, Changed: 1, Known: 2, Pages: 1},
			nil, nil, ""},
		{"but not twice", ann + "," + bob(600_000, "z", "Normal"), event.SyncCompletedData{Seen: 2, Unchanged: 1, Changed: 1, Known: 2, Pages: 1},
			[][]string{{"Bob", "bob", "metadata", "previous"}}, []string{"previous.metadata"}, `{"status":"Archived"}`},
	} {
		v.show(step.rows)
		done := b.outcome(b.publish(fmt.Sprint(i), `{}`))
		b.warned(step.name, done, step.warnings...)
		done.Warnings = nil
		b.want(step.name, done, step.want)
		e, data := observed()
		if !slices.Equal(data.Omitted, step.omitted) || string(data.Previous) != step.previous || !strings.Contains(string(data.Mailbox), `"displayName":"Bob"`) {
			t.Errorf("%s: omitted %v, previous %.200s, %d bytes", step.name, data.Omitted, data.Previous, len(e.Data()))
		}
	}
	v.show(ann)
	done := b.outcome(b.publish("gone", `{"acceptMissing":true}`))
	b.want("gone", done, event.SyncCompletedData{Seen: 1, Unchanged: 1, Known: 2, Absent: 1, Missing: 1, Pages: 1})
	if e := b.last(topology.StreamMailboxes, topology.MailboxSubject(contoso, "bob")); e.Type() != event.TypeMailboxMissing {
		t.Errorf("in the end %s", e.Type())
	}
}

// TestAnyMemberMayBeLarge: whichever it is, the mailbox is published, and its identity whole.
func TestAnyMemberMayBeLarge(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("<", large/6) // each becomes \u003c
	rows := map[string]string{
		"displayName": fmt.Sprintf(`{"id":"a","displayName":%q}`, text), "extra": fmt.Sprintf(`{"id":"b","brandNew":%q}`, text),
		"primaryContact": fmt.Sprintf(`{"id":"c","primaryContact":{"displayName":%q}}`, text), "archiveName": fmt.Sprintf(`{"id":"d","archiveName":%q}`, text),
	}
	var all []string
	for _, row := range rows {
		all = append(all, row)
	}
	all = append(all, fmt.Sprintf(`{"id":%q,"displayName":"Long"}`, strings.Repeat("i", 5000)), fmt.Sprintf(`{"id":"e","recipientType":%q}`, text))
	v := newStub(t, strings.Join(all, ","))
	b := newEnv(t, v.URL)
	b.serve()
	for _, step := range []struct {
		id   string
		want event.SyncCompletedData
	}{
		{"first", event.SyncCompletedData{Seen: 6, New: 4, Truncated: 4, Unpublished: 2, Pages: 1}},
		{"second", event.SyncCompletedData{Seen: 6, Unchanged: 4, Known: 4, Truncated: 4, Unpublished: 2, Pages: 1}},
	} {
		done := b.outcome(b.publish(step.id, `{}`))
		if len(done.Warnings) != 6 {
			t.Errorf("%s: %d warnings: %.2000v", step.id, len(done.Warnings), done.Warnings)
		}
		done.Warnings = nil
		b.want(step.id, done, step.want)
	}
	if list, _ := b.observations(); len(list) != 4 {
		t.Errorf("%d observations", len(list))
	}
}

// TestRowsThatTellNoMailbox are counted and named, and hide nobody: a mailbox that was not met may
// be one of them.
func TestRowsThatTellNoMailbox(t *testing.T) {
	t.Parallel()
	const ann, bob = `{"id":"ann"}`, `{"id":"bob"}`
	v := newStub(t, ann+","+bob)
	b := newEnv(t, v.URL)
	b.serve()
	b.outcome(b.publish("1", `{}`))
	v.show(ann + `,"bob"`)
	done := b.outcome(b.publish("2", `{}`))
	b.warned("not an object", done, []string{"page 1, row 2"}, []string{"1 rows", "1 known"})
	done.Warnings = nil
	b.want("not an object", done, event.SyncCompletedData{Seen: 1, Unchanged: 1, Known: 2, Absent: 1, Unidentified: 1, Suspect: true, Pages: 1})
	v.show(ann + `,null,` + bob)
	done = b.outcome(b.publish("3", `{}`))
	b.warned("null", done, []string{"page 1, row 2"})
	done.Warnings = nil
	b.want("null", done, event.SyncCompletedData{Seen: 2, Unchanged: 2, Known: 2, Unidentified: 1, Pages: 1})
}

// TestAMessageThatIsNotOurs: a foreign message on a mailbox's subject is replaced if the vendor's
// list has the mailbox, and named in a warning if it has not.
func TestAMessageThatIsNotOurs(t *testing.T) {
	t.Parallel()
	const ann, bob = `{"id":"ann"}`, `{"id":"bob"}`
	v := newStub(t, ann)
	b := newEnv(t, v.URL)
	for _, id := range []string{"ann", "bob"} {
		if _, err := b.js.PublishMsg(t.Context(), &nats.Msg{Subject: topology.MailboxSubject(contoso, id), Data: []byte("not an event")}); err != nil {
			t.Fatal(err)
		}
	}
	b.serve()
	done := b.outcome(b.publish("1", `{"acceptMissing":true}`))
	b.warned("bob was not met", done, []string{"message 2", "bob"})
	done.Warnings = nil
	b.want("bob was not met", done, event.SyncCompletedData{Seen: 1, Changed: 1, Known: 2, Pages: 1})
	v.show(ann + "," + bob)
	b.want("both", b.outcome(b.publish("2", `{}`)), event.SyncCompletedData{Seen: 2, Unchanged: 1, Changed: 1, Known: 2, Pages: 1})
}

// TestTwinsAreTwo: mailboxes that have all names in common but the id.
func TestTwinsAreTwo(t *testing.T) {
	t.Parallel()
	twin := func(id, status string) string {
		return fmt.Sprintf(`{"id":%q,"tenantId":"t","displayName":"Alex Meier","name":"alex","alias":"alex","status":%q}`, id, status)
	}
	v := newStub(t, twin("1", "Normal")+","+twin("2", "Normal"))
	b := newEnv(t, v.URL)
	b.serve()
	b.want("both", b.outcome(b.publish("1", `{}`)), event.SyncCompletedData{Seen: 2, New: 2, Pages: 1})
	v.show(twin("2", "Archived") + "," + twin("1", "Normal"))
	b.want("one changed", b.outcome(b.publish("2", `{}`)), event.SyncCompletedData{Seen: 2, Unchanged: 1, Changed: 1, Known: 2, Pages: 1})
	v.show(twin("2", "Archived"))
	b.want("one gone", b.outcome(b.publish("3", `{"acceptMissing":true}`)), event.SyncCompletedData{Seen: 1, Unchanged: 1, Known: 2, Absent: 1, Missing: 1, Pages: 1})
	for id, want := range map[string]string{"t/1": event.ChangeMissing, "t/2": event.ChangeChanged} {
		if got := event.Extension(b.last(topology.StreamMailboxes, topology.MailboxSubject(contoso, id)), event.AttrMailboxChange); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}
