package delegation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
)

// returned is what an outcome says of a list.
type told struct {
	Delegates, Added, Removed string
	Changed                   bool
}

func toldBy(d event.DelegationChangedData) told {
	join := func(list []string) string { return strings.Join(list, " ") }
	return told{join(d.Delegates), join(d.Added), join(d.Removed), d.Changed}
}

const (
	change = event.TypeDelegationChange
	set    = event.TypeDelegationSet
)

// TestChangesAreToldAsTheyAre: who is meant is told by a unique name, and what cannot be told is
// neither done to somebody else nor told as done.
func TestChangesAreToldAsTheyAre(t *testing.T) {
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
		want     told
		warnings []string // a part of each
		after    string
	}{
		{
			name: "add a twin", before: []string{"adele"}, switches: byName, command: change, data: `"add":["twin@contoso.com"]`,
			want: told{"Adele Vance twin@contoso.com", "twin@contoso.com", "", true}, after: "adele@contoso.com twin@contoso.com",
		},
		{
			name: "add who is listed by name", before: []string{"adele"}, switches: byName, command: change, data: `"add":["vance@contoso.com"]`,
			want: told{"vance@contoso.com", "", "", false}, after: "adele@contoso.com",
		},
		{
			name: "set to a twin", before: []string{"adele"}, switches: byName, command: set, data: `"delegates":["twin@contoso.com"]`,
			want: told{"twin@contoso.com", "twin@contoso.com", "Adele Vance", true}, after: "twin@contoso.com",
		},
		{
			name: "set to whom the list has under another address", before: []string{"adele"}, command: set, data: `"delegates":["vance@contoso.com"]`,
			want: told{"vance@contoso.com", "", "", false}, after: "adele@contoso.com",
		},
		{
			name: "remove a twin", before: []string{"adele"}, switches: byName, command: change, data: `"remove":["twin@contoso.com"]`,
			want: told{"Adele Vance", "", "", false}, warnings: []string{`twin@contoso.com is not confirmed as removed: "Adele Vance"`}, after: "adele@contoso.com",
		},
		{
			name: "remove one of two twins", before: []string{"adele", "twin"}, switches: byName, command: change, data: `"remove":["twin@contoso.com"]`,
			want: told{"Adele Vance", "", "twin@contoso.com", true}, after: "adele@contoso.com",
		},
		{
			name: "remove by another address", before: []string{"adele", "delegate1"}, command: change, data: `"remove":["vance@contoso.com"]`,
			want: told{"delegate1@contoso.com", "", "vance@contoso.com", true}, after: "delegate1@contoso.com",
		},
		{
			name: "remove whom the list has by a GUID that is told", before: []string{"adele", "twin"}, switches: byGUID, command: change, data: `"remove":["adele@contoso.com"]`,
			want: told{Removed: "adele@contoso.com", Changed: true}, after: "twin@contoso.com",
		},
		{
			name: "remove whom the list has by a GUID that is not told", before: []string{"adele", "twin"}, switches: opaque, command: change, data: `"remove":["adele@contoso.com"]`,
			want: told{Removed: "adele@contoso.com", Changed: true}, after: "twin@contoso.com",
		},
		{
			name: "remove who is not listed, among GUIDs that are not told", before: []string{"twin"}, switches: opaque, command: change, data: `"remove":["adele@contoso.com"]`,
			want: told{}, warnings: []string{"adele@contoso.com is not confirmed as removed"}, after: "twin@contoso.com",
		},
		{
			name: "remove who is not listed, among names", before: []string{"delegate1"}, switches: byName, command: change, data: `"remove":["adele@contoso.com"]`,
			want: told{Delegates: "Delegate 1"}, after: "delegate1@contoso.com",
		},
		{
			name: "remove a group that is listed by name", before: []string{"delegate1", "group"}, switches: byName, command: change, data: `"remove":["management@contoso.com"]`,
			want: told{"Delegate 1", "", "management@contoso.com", true}, after: "delegate1@contoso.com",
		},
		{
			name: "remove a group that is not listed, among names", before: []string{"delegate1"}, switches: byName, command: change, data: `"remove":["management@contoso.com"]`,
			want: told{Delegates: "Delegate 1"}, warnings: []string{`management@contoso.com is not confirmed as removed: it is no mailbox whose names are known, and still listed are "Delegate 1"`}, after: "delegate1@contoso.com",
		},
		{
			name: "remove two of whom one leaves", before: []string{"delegate1", "group"}, switches: byName, command: change, data: `"remove":["management@contoso.com","everyone@contoso.com"]`,
			want: told{"Delegate 1", "", "Management", true}, warnings: []string{"management@contoso.com is not confirmed", "everyone@contoso.com is not confirmed"}, after: "delegate1@contoso.com",
		},
		{
			name: "set to a group that is listed by name", before: []string{"delegate1", "group"}, switches: byName, command: set, data: `"delegates":["management@contoso.com"]`,
			want: told{"management@contoso.com", "", "Delegate 1", true}, warnings: []string{`"Management": taken for management@contoso.com`}, after: "management@contoso.com",
		},
		{
			name: "remove everybody, one of them deleted", before: []string{"delegate1", orphan, "delegate2"}, command: set, data: `"delegates":[]`,
			want: told{orphan, "", "delegate1@contoso.com delegate2@contoso.com", true}, warnings: []string{orphan}, after: orphan,
		},
		{
			name: "remove everybody, one of them deleted, and the vendor lets go", before: []string{"delegate1", orphan}, command: set, data: `"delegates":[]`,
			switches: switches{"exchangeonline.orphan-write": "remove"}, want: told{"", "", "delegate1@contoso.com " + orphan, true},
		},
		{
			name: "remove a deleted one alone", before: []string{orphan}, command: set, data: `"delegates":[]`,
			want: told{Delegates: orphan}, warnings: []string{orphan}, after: orphan,
		},
		{
			name: "replace a deleted one", before: []string{orphan}, command: set, data: `"delegates":["adele@contoso.com"]`,
			want: told{"adele@contoso.com", "adele@contoso.com", orphan, true}, after: "adele@contoso.com",
		},
		{
			name: "remove the address of a deleted one", before: []string{"delegate1", orphan}, command: change, data: `"remove":["gone@contoso.com","delegate1@contoso.com"]`,
			want: told{orphan, "", "delegate1@contoso.com", true}, warnings: []string{"gone@contoso.com is not confirmed as removed: the vendor does not know"}, after: orphan,
		},
		{
			name: "add beside a deleted one", before: []string{orphan}, command: change, data: `"add":["adele@contoso.com"],"remove":["gone@contoso.com"]`,
			want: told{orphan + " adele@contoso.com", "adele@contoso.com", "", true}, warnings: []string{"gone@contoso.com"}, after: orphan + " adele@contoso.com",
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
			if d := cmp.Diff(tt.want, toldBy(got)); d != "" {
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
