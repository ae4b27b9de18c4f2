package delegates

import (
	"context"
	"crypto/rand"
	"embed"
	"io/fs"
	"net/url"

	"github.com/mailwright/mailwright/pkg/client"
	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/console/internal/act"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed removal
var removalFiles embed.FS

// removal has the templates of the form.
type removal struct{}

// Open implements fs.FS.
func (removal) Open(name string) (fs.File, error) {
	below, err := fs.Sub(removalFiles, "removal")
	if err != nil {
		return nil, err
	}
	return below.Open(name)
}

// Removal is what the form asks: a delegate of a mailbox. ID is the command's: a form that is sent
// twice is one command.
type Removal struct{ Tenant, Mailbox, Delegate, ID string }

func readRemoval(who page.Person, q url.Values) (Removal, error) {
	r := Removal{q.Get("tenant"), q.Get("mailbox"), q.Get("delegate"), q.Get("id")}
	if r.ID == "" {
		r.ID = rand.Text()
	}
	for _, field := range []struct{ name, value string }{{"tenant", r.Tenant}, {"mailbox", r.Mailbox}, {"delegate", r.Delegate}} {
		if field.value == "" {
			return r, page.Invalid("The %s is missing: choose the delegate from a list.", field.name)
		}
	}
	if !who.Sees(r.Tenant) {
		return r, page.Forbidden("You may not act on tenant %s.", r.Tenant)
	}
	return r, nil
}

// remove sends the command, and leads to its operation.
func remove(ctx context.Context, s page.Source, r *page.Request) (page.Done, error) {
	what, err := readRemoval(r.Person, r.Form)
	if err != nil {
		return page.Done{}, err
	}
	reason, err := act.Reason(r)
	if err != nil {
		return page.Done{}, err
	}
	cmd, err := client.New(what.Tenant, act.SourceOf(r.Person), what.ID, event.DelegationChangeData{Mailbox: what.Mailbox, Remove: []string{what.Delegate}})
	if err != nil {
		return page.Done{}, err
	}
	receipt, err := act.Send(ctx, s, r.Person, cmd, what.Mailbox, reason)
	if err != nil {
		return page.Done{}, err
	}
	return page.Done{To: "/operations/" + receipt.OperationID, Notice: "Sent. " + what.Delegate + " is taken away when the operation succeeds."}, nil
}
