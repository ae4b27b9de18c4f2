package delegation

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/failure"
)

// listed is a roster whose entries are their own names.
func listed(names ...string) roster { return roster{returned: true, listed: names, names: names} }

// resolved is a roster with entries that resolve to other names: pairs of entry and name.
func resolved(pairs ...string) roster {
	r := roster{returned: true}
	for i := 0; i < len(pairs); i += 2 {
		r.listed = append(r.listed, pairs[i])
		r.names = append(r.names, pairs[i+1])
	}
	return r
}

func (r roster) withUnresolved(addresses ...string) roster {
	r.unresolved = addresses
	return r
}

// changes is the part of an edit that a vendor is asked for, and the list that it leaves.
type changes struct{ Add, Remove, Uncertain, After string }

func changesOf(e edit) changes {
	join := func(list []string) string { return strings.Join(list, " ") }
	return changes{join(e.add), join(e.remove), join(e.uncertain), join(e.after)}
}

func TestSetEdit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		before roster
		list   []string
		want   changes
	}{
		{"the same list in another order and case", listed("a@x", "b@x"), []string{"B@x", "a@x"}, changes{After: "B@x a@x"}},
		{"one replaced by another", listed("a@x"), []string{"b@x"}, changes{Add: "b@x", Remove: "a@x", After: "b@x"}},
		{"an entry under another name is kept", resolved("Ann_1", "a@x"), []string{"a@x"}, changes{After: "a@x"}},
		{"an entry that is not resolved is replaced", listed("Ben_2"), []string{"b@x"}, changes{Add: "b@x", Remove: "Ben_2", After: "b@x"}},
		{"an empty list", listed("a@x", "b@x"), nil, changes{Remove: "a@x b@x"}},
		{"a list that was not returned", roster{}, []string{"a@x"}, changes{Add: "a@x", After: "a@x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := setEdit(event.DelegationSetData{Mailbox: "m@x", Delegates: tt.list}, tt.before)
			if err != nil || !e.replacesList || e.mailbox != "m@x" {
				t.Fatalf("%+v, %v", e, err)
			}
			if d := cmp.Diff(tt.want, changesOf(e)); d != "" {
				t.Error(d)
			}
			if needed := tt.want.Add+tt.want.Remove != ""; e.needed() != needed {
				t.Errorf("needed is %v", e.needed())
			}
		})
	}
	t.Run("an empty list, where the list was not returned", func(t *testing.T) {
		t.Parallel()
		if _, err := setEdit(event.DelegationSetData{Mailbox: "m@x"}, roster{}); !failure.Is(err, failure.Internal) {
			t.Errorf("got %v, want %s", err, failure.Internal)
		}
	})
}

func TestChangeEdit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		before      roster
		add, remove []string
		want        changes
	}{
		{"add one who is listed", listed("a@x"), []string{"A@x"}, nil, changes{After: "a@x"}},
		{"add one who is not listed", listed("a@x"), []string{"b@x"}, nil, changes{Add: "b@x", After: "a@x b@x"}},
		{"remove one who is listed", listed("a@x", "b@x"), nil, []string{"b@x"}, changes{Remove: "b@x", After: "a@x"}},
		{"remove one who is not in a list of addresses", listed("a@x"), nil, []string{"b@x"}, changes{After: "a@x"}},
		{"remove one under another name", resolved("Ben_2", "b@x", "a@x", "a@x"), nil, []string{"b@x"}, changes{Remove: "b@x", After: "a@x"}},
		{
			"remove one who may be an entry that is no address", listed("Ben_2"), nil, []string{"b@x"},
			changes{Uncertain: "b@x", After: "Ben_2"},
		},
		{
			"remove one who is no mailbox from a list of addresses", listed("a@x").withUnresolved("group@x"), nil, []string{"group@x"},
			changes{Uncertain: "group@x", After: "a@x"},
		},
		{
			"remove one from a list that was not returned", roster{}.withUnresolved("b@x"), nil, []string{"b@x"},
			changes{Uncertain: "b@x"},
		},
		{
			"add and remove", listed("a@x", "b@x"), []string{"c@x"}, []string{"a@x"},
			changes{Add: "c@x", Remove: "a@x", After: "b@x c@x"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := changeEdit(event.DelegationChangeData{Mailbox: "m@x", Add: tt.add, Remove: tt.remove}, tt.before)
			if d := cmp.Diff(tt.want, changesOf(e)); d != "" {
				t.Error(d)
			}
			if needed := tt.want.Add+tt.want.Remove+tt.want.Uncertain != ""; e.needed() != needed {
				t.Errorf("needed is %v", e.needed())
			}
		})
	}
}

func TestAddressesToResolve(t *testing.T) {
	t.Parallel()
	data := event.DelegationChangeData{Add: []string{"a@x"}, Remove: []string{"b@x"}}
	for _, tt := range []struct {
		name   string
		before roster
		want   []string
	}{
		{"a list of addresses", listed("c@x"), []string{"b@x"}},
		{"a list with another name", listed("c@x", "Ann_1"), []string{"a@x", "b@x"}},
		{"an empty list", listed(), []string{"b@x"}},
	} {
		if got := addressesToResolve(data, tt.before); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPlanOfAnEdit(t *testing.T) {
	t.Parallel()
	e := edit{mailbox: "m@x", add: []string{"a@x"}, remove: []string{"Ben_2"}, uncertain: []string{"c@x"}}
	want := event.Plan{Target: "m@x", Exists: true, Changes: []event.Change{
		{Action: "add", What: "delegate", Value: "a@x"},
		{Action: "remove", What: "delegate", Value: "Ben_2"},
		{Action: "remove", What: "delegate", Value: "c@x"},
	}}
	if d := cmp.Diff(want, e.plan()); d != "" {
		t.Error(d)
	}
}
