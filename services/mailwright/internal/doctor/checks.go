package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/tenant"
	"github.com/mailwright/mailwright/services/internal/vendors/adaxes"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
	"github.com/mailwright/mailwright/services/internal/vendors/hostedexchange"
	"github.com/mailwright/mailwright/services/internal/vendors/ldapdirectory"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// check is the check of one vendor of one tenant.
type check struct {
	tenant, vendor string
	// ask sends the requests. seen says what works, and what cannot be seen.
	ask func(context.Context) (seen string, err error)
}

func checksOf(name string, t *tenant.Tenant, timeout time.Duration) (list []check) {
	http := transport.Config{Timeout: timeout}
	add := func(vendor string, ask func(context.Context) (string, error)) {
		list = append(list, check{name, vendor, ask})
	}
	if v := t.Adaxes; v != nil {
		add(adaxes.Vendor, func(ctx context.Context) (string, error) { return askAdaxes(ctx, v.Client(http), v.MarkerAttribute) })
	}
	if v := t.ExchangeOnline; v != nil {
		add(exchangeonline.Vendor, func(ctx context.Context) (string, error) { return askExchangeOnline(ctx, v.Client(http)) })
	}
	if v := t.HostedExchange; v != nil {
		add(hostedexchange.Vendor, func(ctx context.Context) (string, error) { return askHostedExchange(ctx, v.Client(http)) })
		if l := v.LDAP; l != nil {
			add(ldapdirectory.Vendor, func(ctx context.Context) (string, error) { return askDirectory(ctx, l.Client(timeout)) })
		}
	}
	if v := t.EnPower; v != nil {
		add(enpower.Vendor, func(ctx context.Context) (string, error) { return askEnPower(ctx, v.Client(http)) })
	}
	return list
}

// missingAccount is an account that no directory has.
const missingAccount = "mailwright-doctor-nobody"

// askAdaxes searches by markerAttribute, too: if that is not possible, the outcome of a lost create
// could not be found.
func askAdaxes(ctx context.Context, cfg adaxes.Config, marker string) (string, error) {
	c, err := adaxes.New(cfg)
	if err != nil {
		return "", err
	}
	if _, err := c.Search(ctx, adaxes.Query{Property: "sAMAccountName", Value: missingAccount}); err != nil {
		return "", err
	}
	if marker == "" {
		return "signed in, may search; the right to create does not show; no markerAttribute is set: " +
			"a lost create is searched for by its names alone", nil
	}
	if _, err := c.Search(ctx, adaxes.Query{Property: marker, Value: missingAccount}); err != nil {
		f := *failure.Of(err)
		f.Text = "markerAttribute " + marker + " cannot be searched by; set a text attribute that the directory has: " + f.Text
		return "", &f
	}
	return "signed in, may search, also by markerAttribute; the right to create does not show", nil
}

// errFirstPageRead ends a listing after its first page.
var errFirstPageRead = errors.New("the first page is read")

func askExchangeOnline(ctx context.Context, cfg exchangeonline.Config) (string, error) {
	c, err := exchangeonline.New(cfg)
	if err != nil {
		return "", err
	}
	domains, err := c.AcceptedDomains(ctx)
	if err != nil {
		return "", err
	}
	err = c.ListMailboxes(ctx, exchangeonline.ListOptions{PageSize: 1}, func([]exchangeonline.Mailbox) error { return errFirstPageRead })
	if errors.Is(err, errFirstPageRead) {
		err = nil
	}
	text := "signed in, may read mailboxes of %s; the right to change delegates does not show"
	return fmt.Sprintf(text, count(len(domains), "domain")), err
}

func askHostedExchange(ctx context.Context, cfg hostedexchange.Config) (string, error) {
	c, err := hostedexchange.New(cfg)
	if err != nil {
		return "", err
	}
	return "answers, does not turn the credentials down; the role UserCreator shows only when somebody is created", c.Check(ctx)
}

func askDirectory(ctx context.Context, cfg ldapdirectory.Config) (string, error) {
	c, err := ldapdirectory.New(cfg)
	if err != nil {
		return "", err
	}
	return "signed in, may read the base", c.Check(ctx)
}

func askEnPower(ctx context.Context, cfg enpower.Config) (string, error) {
	c, err := enpower.New(cfg)
	if err != nil {
		return "", err
	}
	err = c.Mailboxes(ctx, enpower.Query{PageSize: 1}, func(enpower.Page) error { return errFirstPageRead })
	if errors.Is(err, errFirstPageRead) {
		err = nil
	}
	return "signed in, may list mailboxes", err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
