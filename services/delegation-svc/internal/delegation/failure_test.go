package delegation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/sandboxapi"
)

// odata is an error in the form of the API.
func odata(code, exception string) string {
	return fmt.Sprintf(`{"error":{"code":%q,"message":"Error executing cmdlet.","details":[{"code":"Context","target":"","message":"Ex000000|%s|text"}],
		"innererror":{"message":"x","type":"Microsoft.Exchange.Admin.OData.Core.ODataServiceException","internalexception":{"message":"text","type":%q}}}}`, code, exception, exception)
}

const notFound = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException"

func answering(call string, status, count int, body string) sandboxapi.Fault {
	return sandboxapi.Fault{Call: call, Kind: "status", Count: count, Params: sandboxapi.Params{Status: status, Body: body}}
}

// TestAnUnknownNameFailsItsDelegateAlone: the error says which name the vendor does not know, and
// the other delegates are removed.
func TestAnUnknownNameFailsItsDelegateAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, tt := range []struct {
		name    string
		before  []string
		faults  []sandboxapi.Fault
		command string
		data    string
		kind    failure.Kind
		text    string
		bound   time.Duration
		after   string
	}{
		{
			name: "one to be added", before: []string{"delegate1"}, command: change, data: `"mailbox":"alex@contoso.com","add":["nobody@contoso.com"]`,
			kind: failure.NotFound, text: "nobody@contoso.com can not be added", after: "delegate1@contoso.com",
		},
		{
			name: "one of several to be added", before: []string{"delegate1"}, command: change, data: `"mailbox":"alex@contoso.com","add":["adele@contoso.com","nobody@contoso.com"]`,
			kind: failure.NotFound, text: "nobody@contoso.com can not be added", after: "delegate1@contoso.com",
		},
		{
			name: "one to be added, while others are removed", before: []string{"delegate1", "delegate2"}, command: change,
			data: `"mailbox":"alex@contoso.com","add":["nobody@contoso.com"],"remove":["delegate1@contoso.com"]`,
			kind: failure.NotFound, text: "nobody@contoso.com can not be added: the vendor does not know a delegate; removed are delegate1@contoso.com", after: "delegate2@contoso.com",
		},
		{
			name: "one of a whole list", before: []string{"delegate1", "delegate2"}, command: set,
			data: `"mailbox":"alex@contoso.com","delegates":["delegate2@contoso.com","nobody@contoso.com"]`,
			kind: failure.NotFound, text: "nobody@contoso.com can not be added", after: "delegate2@contoso.com",
		},
		{
			name: "the mailbox", before: []string{"delegate1"}, command: change, data: `"mailbox":"nobody@contoso.com","add":["adele@contoso.com"]`,
			kind: failure.NotFound, text: "does not know the mailbox", after: "delegate1@contoso.com",
		},
		{
			name: "one to be removed, who has a mailbox", before: []string{"delegate1", orphan}, command: set, data: `"mailbox":"alex@contoso.com","delegates":[]`,
			faults: []sandboxapi.Fault{answering("Set-Mailbox", 404, 2, odata("NotFound", notFound))},
			kind:   failure.NotFound, text: `"delegate1@contoso.com" could not be removed`, bound: time.Hour, after: orphan + " delegate1@contoso.com",
		},
		{
			name: "one to be removed, whom several names fit", before: []string{"delegate1", "delegate2"}, command: set, data: `"mailbox":"alex@contoso.com","delegates":[]`,
			faults: []sandboxapi.Fault{answering("Set-Mailbox", 400, 2, odata("BadRequest", "A.ManagementObjectAmbiguousException"))},
			kind:   failure.Invalid, text: `"delegate1@contoso.com" could not be removed`, bound: time.Hour, after: "delegate1@contoso.com",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := *b
			at.T = t
			at.begin(tt.before, nil)
			at.fail(tt.faults...)
			_, err := at.changed(tt.command, "{"+tt.data+"}")
			if f := failure.Of(err); f == nil || f.Kind != tt.kind || f.RetryFor != tt.bound || !strings.Contains(f.Text, tt.text) {
				t.Errorf("got %v, want %s with %q", err, tt.kind, tt.text)
			}
			if now := at.delegates(); now != tt.after {
				t.Errorf("the delegates are %s, want %s", now, tt.after)
			}
		})
	}
}

// TestRemovalGoesOnOneByOne: the first call names all, those that follow name one each.
func TestRemovalGoesOnOneByOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.seed("delegate1", orphan, "delegate2")
	got, err := b.changed(set, `{"mailbox":"alex@contoso.com","delegates":[]}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].Text, "can not remove it") {
		t.Errorf("warnings %q", got.Warnings)
	}
	writes := b.writes()
	if len(writes) != 4 {
		t.Fatalf("%q", writes)
	}
	for i, name := range []string{"delegate1@contoso.com", orphan, "delegate2@contoso.com"} {
		if !strings.Contains(writes[i+1], `"remove":["`+name+`"]`) {
			t.Errorf("call %d is %s", i+1, writes[i+1])
		}
	}
}

// TestFailuresOfAWrite: after a transient failure the next attempt succeeds; a permanent one is
// refused. If the answer does not say whether the change was made, the list is read.
func TestFailuresOfAWrite(t *testing.T) {
	t.Parallel()
	const plain = "Too many concurrent requests of this tenant are being served."
	after := answering("", 500, 1, odata("InternalServerError", "A.B"))
	after.Params.When = "after"
	b := setup(t)
	for _, tt := range []struct {
		name  string
		fault sandboxapi.Fault
		kind  failure.Kind // "": it succeeds at once
		bound time.Duration
		final bool
	}{
		{name: "not carried over to Entra ID", fault: answering("", 400, 1, odata("BadRequest", "Microsoft.Exchange.DualWrite.LocStrings.UnableToWriteToAadException")), kind: failure.Unavailable, bound: 15 * time.Minute},
		{name: "403 in plain text", fault: answering("", 403, 1, plain), kind: failure.Unavailable, bound: time.Hour},
		{name: "400 in plain text", fault: answering("", 400, 1, plain), kind: failure.Unavailable, bound: time.Hour},
		{name: "500, transient", fault: answering("", 500, 1, `{"error":{"code":"InternalServerError","innererror":{"type":"Microsoft.Exchange.Data.Directory.ADTransientException"}}}`), kind: failure.Unavailable},
		{name: "500 of the API, not done", fault: answering("", 500, 1, odata("InternalServerError", "A.B")), kind: failure.Unavailable},
		{name: "500 of the API, done", fault: after},
		{name: "502 of a gateway", fault: answering("", 502, 1, "<html>"), kind: failure.Unknown},
		{name: "kept on premises", fault: answering("", 400, 1, odata("BadRequest", "System.InvalidOperationException")), kind: failure.Refused, final: true},
	} {
		for call, attempt := range map[string]func(*env) (bool, error){
			"Set-Mailbox": func(b *env) (bool, error) {
				got, err := b.changed(change, `{"mailbox":"alex@contoso.com","add":["adele@contoso.com"]}`)
				return got.Changed, err
			},
			"Add-MailboxFolderPermission": func(b *env) (bool, error) {
				got, err := b.perform(event.TypeFolderGrant, `{"mailbox":"alex@contoso.com","folder":"Calendar","delegate":"adele@contoso.com","accessRights":["Editor"]}`)
				data, _ := got.Data.(event.FolderChangedData)
				return data.Changed, err
			},
		} {
			t.Run(tt.name+", "+call, func(t *testing.T) {
				at := *b
				at.T = t
				at.seed("delegate1")
				tt.fault.Call = call
				at.fail(tt.fault)
				done, err := attempt(&at)
				if f := failure.Of(err); tt.kind == "" && (err != nil || !done) || tt.kind != "" && (f == nil || f.Kind != tt.kind || f.RetryFor != tt.bound) {
					t.Fatalf("got %v, %v, want %s", done, err, tt.kind)
				}
				if tt.final && !strings.Contains(err.Error(), "on premises") {
					t.Errorf("%v names no place", err)
				}
				if tt.kind == "" || tt.final {
					return
				}
				if done, err := attempt(&at); err != nil || !done {
					t.Errorf("the second attempt: %v, %v", done, err)
				}
			})
		}
	}
}

// TestTwinsAreTwoInEveryList: two mailboxes that share a display name are two in every published
// list.
func TestTwinsAreTwoInEveryList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.seed("adele", "twin")
	for _, form := range []string{"object", "string"} {
		b.set("exchangeonline.display-names", form)
		result, err := b.perform(event.TypeDelegationRead, `{"withDisplayNames":true}`)
		if err != nil {
			t.Fatal(err)
		}
		var twins, delegates []string
		for _, m := range result.Data.(event.DelegationObservedData).Mailboxes {
			if m.DisplayName == "Adele Vance" {
				twins = append(twins, m.PrimarySMTPAddress)
			}
			if m.PrimarySMTPAddress != "alex@contoso.com" {
				continue
			}
			for _, d := range m.Delegates {
				delegates = append(delegates, d.Address+" "+d.DisplayName)
			}
		}
		if d := cmp.Diff([]string{"adele@contoso.com", "twin@contoso.com"}, twins); d != "" {
			t.Errorf("%s: mailboxes %s", form, d)
		}
		if d := cmp.Diff([]string{"adele@contoso.com Adele Vance", "twin@contoso.com Adele Vance"}, delegates); d != "" {
			t.Errorf("%s: delegates %s", form, d)
		}
	}
}

// TestPlansWriteNothing: a plan also names the uncertain addresses that would be removed.
func TestPlansWriteNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.seed("adele", "delegate1")
	b.set("exchangeonline.delegate-form", "name")
	plan, err := b.handlers[change].Plan(t.Context(), b.run(change, `{"mailbox":"alex@contoso.com","add":["delegate2@contoso.com"],"remove":["twin@contoso.com"]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []event.Change{{Action: "add", What: "delegate", Value: "delegate2@contoso.com"}, {Action: "remove", What: "delegate", Value: "twin@contoso.com"}}
	if d := cmp.Diff(want, plan.Changes); d != "" {
		t.Error(d)
	}
	if writes := b.writes(); len(writes) != 0 {
		t.Errorf("written: %q", writes)
	}
}
