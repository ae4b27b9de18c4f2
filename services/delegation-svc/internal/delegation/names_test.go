package delegation

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

const guid = "0f0c3a5e-9d3b-4f57-8a51-2f7f7f3f5b11"

var errDown = &failure.Error{Kind: failure.Unavailable, Code: "HTTP 503"}

// directory is a vendor's mailboxes by the name that they are looked up by.
type directory map[string]exchangeonline.Mailbox

// get finds no mailbox for an unknown name, several for "two@x.com", and fails for "down@x.com". It
// records what it was asked.
func (d directory) get(asked *[]string) getMailbox {
	return func(_ context.Context, name string) (exchangeonline.Mailbox, error) {
		*asked = append(*asked, name)
		m, ok := d[name]
		switch {
		case name == "two@x.com":
			return m, &failure.Error{Kind: failure.Invalid, Code: "ambiguous"}
		case name == "down@x.com":
			return m, errDown
		case !ok:
			return m, &failure.Error{Kind: failure.NotFound, Code: "not found"}
		}
		return m, nil
	}
}

// listing is a mailbox's list of delegates.
func listing(addresses ...string) []exchangeonline.Delegate {
	list := make([]exchangeonline.Delegate, len(addresses))
	for i, address := range addresses {
		list[i].Address = address
	}
	return list
}

func TestResolveNames(t *testing.T) {
	t.Parallel()
	ann := exchangeonline.Mailbox{Name: "Ann_1", DisplayName: "Ann", Alias: "ann", PrimarySMTPAddress: "ann@x.com", IDs: []string{guid}}
	annWithoutIDs := ann
	annWithoutIDs.IDs = nil
	for _, tt := range []struct {
		name       string
		list       []exchangeonline.Delegate // nil: the vendor did not return it
		directory  directory
		addresses  []string
		names      []string
		unresolved []string
		lookalikes map[string]string
		asked      []string
		err        error
	}{
		{
			name: "a list that was not returned", addresses: []string{"ann@x.com"},
			unresolved: []string{"ann@x.com"},
		},
		{
			name: "an address that is listed is not looked up, whatever its case", list: listing("Ann@X.com", "Ben_2"),
			addresses: []string{"ann@x.com"}, names: []string{"Ann@X.com", "Ben_2"},
		},
		{
			name: "no look-up once every entry is an address of the command", list: listing("ben@x.com"), directory: directory{"ann@x.com": ann},
			addresses: []string{"ben@x.com", "ann@x.com"}, names: []string{"ben@x.com"},
		},
		{
			name: "an entry that is the Name", list: listing("Ann_1", "Ben_2"), directory: directory{"ann@x.com": ann},
			addresses: []string{"ann@x.com"}, names: []string{"ann@x.com", "Ben_2"}, asked: []string{"ann@x.com"},
		},
		{
			name: "an entry that is the alias, in another case", list: listing("ANN"), directory: directory{"ann@x.com": ann},
			addresses: []string{"ann@x.com"}, names: []string{"ann@x.com"}, asked: []string{"ann@x.com"},
		},
		{
			name: "an entry that is a GUID in the answer", list: listing(guid), directory: directory{"ann@x.com": ann},
			addresses: []string{"ann@x.com"}, names: []string{"ann@x.com"}, asked: []string{"ann@x.com"},
		},
		{
			name: "an entry that is a GUID not in the answer may be the address", list: listing(guid), directory: directory{"ann@x.com": annWithoutIDs},
			addresses: []string{"ann@x.com"}, names: []string{guid}, unresolved: []string{"ann@x.com"}, asked: []string{"ann@x.com"},
		},
		{
			name: "an entry that is a distinguished name may be the address", list: listing("CN=a,DC=x"), directory: directory{"ann@x.com": annWithoutIDs},
			addresses: []string{"ann@x.com"}, names: []string{"CN=a,DC=x"}, unresolved: []string{"ann@x.com"}, asked: []string{"ann@x.com"},
		},
		{
			name: "an entry that is somebody else's Name is not the address", list: listing("Ben_2"), directory: directory{"ann@x.com": annWithoutIDs},
			addresses: []string{"ann@x.com"}, names: []string{"Ben_2"}, asked: []string{"ann@x.com"},
		},
		{
			name: "an entry that equals the display name is a lookalike", list: listing("Ann"), directory: directory{"Ann2@x.com": {DisplayName: "Ann", Name: "Ann_2"}},
			addresses: []string{"Ann2@x.com"}, names: []string{"Ann"}, lookalikes: map[string]string{"ann2@x.com": "Ann"}, asked: []string{"Ann2@x.com"},
		},
		{
			name:      "an entry with a display name only is nobody's Name",
			list:      []exchangeonline.Delegate{{Address: "Ann", Unidentified: true}},
			directory: directory{"ann@x.com": {Name: "Ann", DisplayName: "Ann"}},
			addresses: []string{"ann@x.com"}, names: []string{"Ann"}, lookalikes: map[string]string{"ann@x.com": "Ann"}, asked: []string{"ann@x.com"},
		},
		{
			name: "an address of no mailbox, and one of several", list: listing("Ben_2"),
			addresses: []string{"group@x.com", "two@x.com"}, names: []string{"Ben_2"},
			unresolved: []string{"group@x.com", "two@x.com"}, asked: []string{"group@x.com", "two@x.com"},
		},
		{
			name: "nothing is unresolved once every entry has an address", list: listing("Ann_1"), directory: directory{"ann@x.com": ann},
			addresses: []string{"group@x.com", "ann@x.com"}, names: []string{"ann@x.com"}, asked: []string{"group@x.com", "ann@x.com"},
		},
		{
			name: "a failed look-up", list: listing("Ben_2"), addresses: []string{"down@x.com"},
			names: []string{"Ben_2"}, asked: []string{"down@x.com"}, err: errDown,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			got, err := resolveNames(t.Context(), rosterOf(exchangeonline.Mailbox{Delegates: tt.list}), tt.addresses, tt.directory.get(&asked))
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			for what, pair := range map[string][2][]string{
				"names": {tt.names, got.names}, "unresolved": {tt.unresolved, got.unresolved}, "asked": {tt.asked, asked},
			} {
				if !slices.Equal(pair[0], pair[1]) {
					t.Errorf("%s is %q, want %q", what, pair[1], pair[0])
				}
			}
			if len(got.lookalikes)+len(tt.lookalikes) > 0 && !cmp.Equal(got.lookalikes, tt.lookalikes) {
				t.Errorf("lookalikes are %v, want %v", got.lookalikes, tt.lookalikes)
			}
		})
	}
}
