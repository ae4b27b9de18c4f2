package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mailwright/mailwright/pkg/event"
)

// TestDelegatesAreRecognisedUnderEveryName: Exchange may list a delegate by address, name or GUID.
// A delegate is removed in all these forms, and a change that is made already is reported as none.
func TestDelegatesAreRecognisedUnderEveryName(t *testing.T) {
	t.Parallel()
	s := acquire(t)
	for _, form := range []string{"smtp", "name", "guid"} {
		if err := s.Vendors.Control(t.Context(), http.MethodPut, "switches", map[string]any{"exchangeonline.delegate-form": form}, nil); err != nil {
			t.Fatal(err)
		}
		for i, step := range []struct {
			data string
			want event.DelegationChangedData
		}{
			{`"add":["delegate1@contoso.com"]`, event.DelegationChangedData{Added: []string{"delegate1@contoso.com"}, Changed: true}},
			{`"add":["Delegate1@contoso.com"]`, event.DelegationChangedData{}},
			{`"add":["delegate2@contoso.com"]`, event.DelegationChangedData{Added: []string{"delegate2@contoso.com"}, Changed: true}},
			{`"remove":["delegate1@contoso.com","delegate2@contoso.com"]`, event.DelegationChangedData{Removed: []string{"delegate1@contoso.com", "delegate2@contoso.com"}, Changed: true}},
			{`"remove":["delegate1@contoso.com"]`, event.DelegationChangedData{}},
			{`"add":["delegate1@contoso.com"]`, event.DelegationChangedData{Added: []string{"delegate1@contoso.com"}, Changed: true}},
			{`"delegates":[]`, event.DelegationChangedData{Changed: true}}, // whoever is there is removed under the name that the vendor gives
		} {
			commandType, ignored := event.TypeDelegationChange, []string{"Operation", "Mailbox", "Delegates"}
			if strings.Contains(step.data, "delegates") {
				commandType, ignored = event.TypeDelegationSet, append(ignored, "Removed")
			}
			id := fmt.Sprint(form, " ", i)
			s.mustPublish(command{id, commandType, "adele", `{"mailbox":"adele.vance@contoso.com",` + step.data + `}`}.message())
			e := s.outcome(event.DomainDelegation, id)
			var got event.DelegationChangedData
			if err := e.DataAs(&got); err != nil || e.Type() != event.TypeDelegationChanged {
				t.Fatalf("%s ended as %s: %s", id, e.Type(), e.Data())
			}
			if form == "guid" && i == 1 {
				// no property that the vendor promises tells whose GUID it is: the delegate is
				// added again, which changes nothing
				continue
			}
			if diff := cmp.Diff(step.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(got, ignored...)); diff != "" {
				t.Errorf("%s:\n%s", id, diff)
			}
		}
		var left struct {
			Mailboxes []struct{ Delegates []string }
		}
		s.control("objects?kind=mailboxes&match=adele.vance", &left)
		if len(left.Mailboxes) != 1 || len(left.Mailboxes[0].Delegates) != 0 {
			t.Errorf("%s: left are %+v", form, left)
		}
	}
}
