package delegation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
)

// reported is the lists in an outcome.
type reported struct {
	Delegates, Added, Removed string
	Changed                   bool
}

func reportedBy(d event.DelegationChangedData) reported {
	join := func(list []string) string { return strings.Join(list, " ") }
	return reported{join(d.Delegates), join(d.Added), join(d.Removed), d.Changed}
}

const (
	change = event.TypeDelegationChange
	set    = event.TypeDelegationSet
)

// TestOutcomesReportWhatChanged: a delegate is identified by a unique name. If that is not
// possible, nobody else is removed, and the outcome does not report the delegate as removed.
func TestOutcomesReportWhatChanged(t *testing.T) {
	t.Parallel()
	type switches map[string]any
	byName, byGUID := switches{"exchangeonline.delegate-form": "name"}, switches{"exchangeonline.delegate-form": "guid"}
	opaque := switches{"exchangeonline.delegate-form": "guid", "exchangeonline.output": "core"}
	b := setup(t)
	for _, tt := range []struct {
		name     string
		before   []string // alex's delegates; group: Management too
		switches switches
		command  string
		data     string
		want     reported
		warnings []string // a part of each
		after    string
	}{
		{
			name: "add a twin", before: []string{"adele"}, switches: byName, command: change, data: `"add":["twin@contoso.com"]`,
			want: reported{"Adele Vance twin@contoso.com", "twin@contoso.com", "", true}, after: "adele@contoso.com twin@contoso.com",
		},
		{
			name: "add who is listed by name", before: []string{"adele"}, switches: byName, command: change, data: `"add":["vance@contoso.com"]`,
			want: reported{"vance@contoso.com", "", "", false}, after: "adele@contoso.com",
		},
		{
			name: "set to a twin", before: []string{"adele"}, switches: byName, command: set, data: `"delegates":["twin@contoso.com"]`,
			want: reported{"twin@contoso.com", "twin@contoso.com", "Adele Vance", true}, after: "twin@contoso.com",
		},
		{
			name: "set to whom the list has under another address", before: []string{"adele"}, command: set, data: `"delegates":["vance@contoso.com"]`,
			want: reported{"vance@contoso.com", "", "", false}, after: "adele@contoso.com",
		},
		{
			name: "remove a twin", before: []string{"adele"}, switches: byName, command: change, data: `"remove":["twin@contoso.com"]`,
			want: reported{"Adele Vance", "", "", false}, warnings: []string{`twin@contoso.com is not confirmed as removed: "Adele Vance"`}, after: "adele@contoso.com",
		},
		{
			name: "remove one of two twins", before: []string{"adele", "twin"}, switches: byName, command: change, data: `"remove":["twin@contoso.com"]`,
			want: reported{"Adele Vance", "", "twin@contoso.com", true}, after: "adele@contoso.com",
		},
		{
			name: "remove by another address", before: []string{"adele", "delegate1"}, command: change, data: `"remove":["vance@contoso.com"]`,
			want: reported{"delegate1@contoso.com", "", "vance@contoso.com", true}, after: "delegate1@contoso.com",
		},
		{
			name: "remove whom the list has by a GUID that is told", before: []string{"adele", "twin"}, switches: byGUID, command: change, data: `"remove":["adele@contoso.com"]`,
			want: reported{Removed: "adele@contoso.com", Changed: true}, after: "twin@contoso.com",
		},
		{
			name: "remove whom the list has by a GUID that is not told", before: []string{"adele", "twin"}, switches: opaque, command: change, data: `"remove":["adele@contoso.com"]`,
			want: reported{Removed: "adele@contoso.com", Changed: true}, after: "twin@contoso.com",
		},
		{
			name: "remove who is not listed, among GUIDs that are not told", before: []string{"twin"}, switches: opaque, command: change, data: `"remove":["adele@contoso.com"]`,
			want: reported{}, warnings: []string{"adele@contoso.com is not confirmed as removed"}, after: "twin@contoso.com",
		},
		{
			name: "remove who is not listed, among names", before: []string{"delegate1"}, switches: byName, command: change, data: `"remove":["adele@contoso.com"]`,
			want: reported{Delegates: "Delegate 1"}, after: "delegate1@contoso.com",
		},
		{
			name: "remove a group that is listed by name", before: []string{"delegate1", "group"}, switches: byName, command: change, data: `"remove":["management@contoso.com"]`,
			want: reported{"Delegate 1", "", "management@contoso.com", true}, after: "delegate1@contoso.com",
		},
		{
			name: "remove a group that is not listed, among names", before: []string{"delegate1"}, switches: byName, command: change, data: `"remove":["management@contoso.com"]`,
			want: reported{Delegates: "Delegate 1"}, warnings: []string{`management@contoso.com is not confirmed as removed: it is no mailbox whose names are known, and still listed are "Delegate 1"`}, after: "delegate1@contoso.com",
		},
		{
			name: "remove two of whom one leaves", before: []string{"delegate1", "group"}, switches: byName, command: change, data: `"remove":["management@contoso.com","everyone@contoso.com"]`,
			want: reported{"Delegate 1", "", "Management", true}, warnings: []string{"management@contoso.com is not confirmed", "everyone@contoso.com is not confirmed"}, after: "delegate1@contoso.com",
		},
		{
			name: "set to a group that is listed by name", before: []string{"delegate1", "group"}, switches: byName, command: set, data: `"delegates":["management@contoso.com"]`,
			want: reported{"management@contoso.com", "", "Delegate 1", true}, warnings: []string{`"Management": taken for management@contoso.com`}, after: "management@contoso.com",
		},
		{
			name: "remove everybody, one of them deleted", before: []string{"delegate1", orphan, "delegate2"}, command: set, data: `"delegates":[]`,
			want: reported{orphan, "", "delegate1@contoso.com delegate2@contoso.com", true}, warnings: []string{orphan}, after: orphan,
		},
		{
			name: "remove everybody, one of them deleted, and the vendor lets go", before: []string{"delegate1", orphan}, command: set, data: `"delegates":[]`,
			switches: switches{"exchangeonline.orphan-write": "remove"}, want: reported{"", "", "delegate1@contoso.com " + orphan, true},
		},
		{
			name: "remove a deleted one alone", before: []string{orphan}, command: set, data: `"delegates":[]`,
			want: reported{Delegates: orphan}, warnings: []string{orphan}, after: orphan,
		},
		{
			name: "replace a deleted one", before: []string{orphan}, command: set, data: `"delegates":["adele@contoso.com"]`,
			want: reported{"adele@contoso.com", "adele@contoso.com", orphan, true}, after: "adele@contoso.com",
		},
		{
			name: "remove the address of a deleted one", before: []string{"delegate1", orphan}, command: change, data: `"remove":["gone@contoso.com","delegate1@contoso.com"]`,
			want: reported{orphan, "", "delegate1@contoso.com", true}, warnings: []string{"gone@contoso.com is not confirmed as removed: the vendor does not know"}, after: orphan,
		},
		{
			name: "add beside a deleted one", before: []string{orphan}, command: change, data: `"add":["adele@contoso.com"],"remove":["gone@contoso.com"]`,
			want: reported{orphan + " adele@contoso.com", "adele@contoso.com", "", true}, warnings: []string{"gone@contoso.com"}, after: orphan + " adele@contoso.com",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := *b
			at.T = t
			at.begin(tt.before, tt.switches)
			got, err := at.changed(tt.command, `{"mailbox":"alex@contoso.com",`+tt.data+`}`)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(tt.name, "GUID") {
				got.Delegates = nil // made out of the address, and of no interest
			}
			if d := cmp.Diff(tt.want, reportedBy(got)); d != "" {
				t.Error(d)
			}
			if len(got.Warnings) != len(tt.warnings) {
				t.Fatalf("warnings %q", got.Warnings)
			}
			for i, part := range tt.warnings {
				if !strings.Contains(got.Warnings[i].Text, part) {
					t.Errorf("warning %q lacks %q", got.Warnings[i].Text, part)
				}
			}
			if now := at.delegates(); now != tt.after {
				t.Errorf("the delegates are %s, want %s", now, tt.after)
			}
		})
	}
}

// begin gives alex@contoso.com these delegates; group stands for the group Management.
func (b *env) begin(delegates []string, switches map[string]any) {
	b.Helper()
	var seeded []string
	withGroup := false
	for _, d := range delegates {
		if d == "group" {
			withGroup = true
			continue
		}
		seeded = append(seeded, d)
	}
	b.seed(seeded...)
	if withGroup {
		if _, err := b.changed(change, `{"mailbox":"alex@contoso.com","add":["management@contoso.com"]}`); err != nil {
			b.Fatal(err)
		}
	}
	for name, value := range switches {
		b.set(name, value)
	}
}
