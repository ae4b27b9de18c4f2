package delegation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/event"
)

// result is the lists of an outcome, and the number of its warnings with a part of each.
type result struct {
	Delegates, Added, Removed string
	Warnings                  []string
}

// check compares an outcome; want.Warnings holds a part of each warning.
func (want result) check(t *testing.T, data event.DelegationChangedData) {
	t.Helper()
	join := func(list []string) string { return strings.Join(list, " ") }
	got := result{join(data.Delegates), join(data.Added), join(data.Removed), nil}
	if len(data.Warnings) != len(want.Warnings) {
		t.Fatalf("warnings %q, want %q", data.Warnings, want.Warnings)
	}
	for i, part := range want.Warnings {
		if !strings.Contains(data.Warnings[i].Text, part) {
			t.Errorf("warning %q lacks %q", data.Warnings[i].Text, part)
		}
	}
	want.Warnings = nil
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestResultOfAWrittenEdit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		edit    edit
		unknown []string
		want    result
	}{
		{
			name: "complete",
			edit: edit{before: listed("a@x"), after: []string{"b@x"}, add: []string{"b@x"}, remove: []string{"a@x"}},
			want: result{Delegates: "b@x", Added: "b@x", Removed: "a@x"},
		},
		{
			name:    "an entry whose name the vendor does not know stays",
			edit:    edit{before: listed("Left_1"), remove: []string{"Left_1"}},
			unknown: []string{"Left_1"},
			want:    result{Delegates: "Left_1", Warnings: []string{`"Left_1" is still listed`}},
		},
		{
			name:    "an uncertain address that the vendor does not know",
			edit:    edit{before: listed("Ben_2"), after: []string{"Ben_2"}, uncertain: []string{"c@x"}},
			unknown: []string{"c@x"},
			want:    result{Delegates: "Ben_2", Warnings: []string{"c@x is not confirmed as removed: the vendor does not know"}},
		},
		{
			name: "a list that was not returned",
			edit: edit{after: []string{"a@x"}, add: []string{"a@x"}},
			want: result{Delegates: "a@x", Added: "a@x", Warnings: []string{"does not tell the mailbox's delegates"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.want.check(t, tt.edit.written(tt.unknown))
		})
	}
}

func TestWhenTheListIsReadBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		edit    edit
		unknown []string
		want    string
	}{
		{name: "a change without uncertain addresses", edit: edit{add: []string{"a@x"}, remove: []string{"b@x"}}},
		{name: "a change with one", edit: edit{uncertain: []string{"c@x"}}, want: "c@x"},
		{name: "a change with one that the vendor does not know", edit: edit{uncertain: []string{"c@x"}}, unknown: []string{"c@x"}},
		{
			name: "a set that replaces an entry by an unresolved address",
			edit: edit{replacesList: true, before: listed("Team").withUnresolved("team@x"), add: []string{"team@x"}, remove: []string{"Team"}},
			want: "team@x",
		},
		{
			name: "a set that replaces an entry by a resolved address",
			edit: edit{replacesList: true, before: listed("Ben_2"), add: []string{"a@x"}, remove: []string{"Ben_2"}},
		},
		{
			name: "a set that replaces nobody",
			edit: edit{replacesList: true, before: listed().withUnresolved("team@x"), add: []string{"team@x"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(tt.edit.toReadBack(tt.unknown), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestConfirmRemoval(t *testing.T) {
	t.Parallel()
	lookalike := listed("Ann", "a@x")
	lookalike.lookalikes = map[string]string{"ann2@x": "Ann"}
	for _, tt := range []struct {
		name      string
		before    roster
		remove    []string
		uncertain []string
		now       []string
		want      result
	}{
		{
			name: "an entry has left the list: it was the address", before: listed("Ben_2", "a@x"), uncertain: []string{"b@x"}, now: []string{"a@x"},
			want: result{Delegates: "a@x", Removed: "b@x"},
		},
		{
			name: "the list is as before: the address was not in it", before: listed("Ben_2"), uncertain: []string{"b@x"}, now: []string{"Ben_2"},
			want: result{Delegates: "Ben_2"},
		},
		{
			name: "the list is as before, with a lookalike", before: lookalike, uncertain: []string{"Ann2@x"}, now: []string{"Ann", "a@x"},
			want: result{Delegates: "Ann a@x", Warnings: []string{`Ann2@x is not confirmed as removed: "Ann" is still listed`}},
		},
		{
			name: "the list is as before, and the address is no mailbox", before: listed("Team").withUnresolved("team@x"), uncertain: []string{"team@x"}, now: []string{"Team"},
			want: result{Delegates: "Team", Warnings: []string{`team@x is not confirmed as removed: it is no mailbox whose names are known, and still listed are "Team"`}},
		},
		{
			name: "fewer entries have left than addresses were removed", before: listed("Ben_2", "Team").withUnresolved("team@x"),
			uncertain: []string{"b@x", "team@x"}, now: []string{"Team"},
			want: result{Delegates: "Team", Removed: "Ben_2", Warnings: []string{"team@x is not confirmed as removed"}},
		},
		{
			name: "a delegate that the command names leaves too", before: listed("a@x", "Ben_2"), remove: []string{"a@x"}, uncertain: []string{"b@x"}, now: nil,
			want: result{Removed: "a@x b@x"},
		},
		{
			name: "an entry that is listed under its vendor's name stays", before: resolved("Ann_1", "a@x", "Ben_2", "Ben_2"), uncertain: []string{"b@x"}, now: []string{"Ann_1"},
			want: result{Delegates: "a@x", Removed: "b@x"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := edit{mailbox: "m@x", before: tt.before, after: minus(tt.before.names, tt.remove), remove: tt.remove, uncertain: tt.uncertain}
			out := e.written(nil)
			e.confirmRemoval(&out, tt.uncertain, tt.now)
			tt.want.check(t, out)
		})
	}
}

func TestConfirmSet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		remove    []string
		add       []string
		uncertain []string
		now       []string
		want      result
	}{
		{
			name: "the entry has left the list", remove: []string{"Team"}, add: []string{"team@x"}, uncertain: []string{"team@x"}, now: []string{"team@x"},
			want: result{Delegates: "team@x", Added: "team@x", Removed: "Team"},
		},
		{
			name: "the entry is still listed: it is the address", remove: []string{"Team"}, add: []string{"team@x"}, uncertain: []string{"team@x"}, now: []string{"Team"},
			want: result{Delegates: "team@x", Warnings: []string{`Still listed are "Team": taken for team@x`}},
		},
		{
			name: "one of two addresses is still listed under another name", remove: []string{"Team", "Ben_2"}, add: []string{"team@x", "crew@x"},
			uncertain: []string{"team@x", "crew@x"}, now: []string{"Team", "crew@x"},
			want: result{Delegates: "team@x crew@x", Added: "team@x crew@x", Removed: "Ben_2", Warnings: []string{`Still listed are "Team": taken for team@x, crew@x`}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := edit{mailbox: "m@x", replacesList: true, before: listed(tt.remove...).withUnresolved(tt.uncertain...), after: tt.add, add: tt.add, remove: tt.remove}
			out := e.written(nil)
			e.confirmSet(&out, tt.uncertain, tt.now)
			tt.want.check(t, out)
		})
	}
}
