package exchangeonline

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/vendors/nextlink"
	"github.com/mailwright/mailwright/pkg/vendors/transport"
)

const getMailbox = "Get-Mailbox"

// GetOptions says what to read of a mailbox.
type GetOptions struct {
	// WithDisplayNames asks for the delegates' display names. The vendor rolls the parameter out in stages: an
	// organisation without it answers Refused.
	WithDisplayNames bool
	// Select names properties to read beyond the core. The vendor promises none of them (the page, "Response overview").
	Select []string
}

// ListOptions says what to read of every mailbox, and in what portions.
type ListOptions struct {
	// PageSize is the vendor's ResultSize; 0 leaves it to the vendor (1,000).
	PageSize         int
	WithDisplayNames bool
	Select           []string
}

// GetMailbox reads the one mailbox that identity names: name, distinguished name, alias, UPN, GUID or address
// (the page, "Supported cmdlets and parameters").
//
// Its errors: NotFound, Invalid if identity is empty, has a wildcard or names several mailboxes, Refused, Throttled, Unavailable, Internal.
func (c *Client) GetMailbox(ctx context.Context, identity string, opts GetOptions) (Mailbox, error) {
	if err := checkIdentity(identity); err != nil {
		return Mailbox{}, err
	}
	to, err := c.selecting(opts)
	if err != nil {
		return Mailbox{}, err
	}
	body, err := c.call(ctx, transport.Read, to, getMailbox, identity, parameters{Identity: identity, WithDisplayNames: opts.WithDisplayNames})
	if err != nil {
		return Mailbox{}, err
	}
	a, err := decodeAnswer(body, opts.Select)
	switch {
	case err != nil:
		return Mailbox{}, err
	case len(a.mailboxes) == 0:
		return Mailbox{}, &failure.Error{Kind: failure.NotFound, Vendor: Vendor, Text: "the vendor does not know the mailbox"}
	case len(a.mailboxes) > 1:
		return Mailbox{}, invalid("the name fits several mailboxes")
	}
	return a.mailboxes[0], nil
}

// ListMailboxes reads every mailbox and hands them to yield page by page, each mailbox once. An error of yield ends the
// listing and is returned as it is.
//
// The vendor is known to refuse its own cursors, since one lives on one of its servers (seen). The listing then starts once
// more, with ResultSize "Unlimited", and leaves out what it has handed over. It never ends short without an error:
// what is still truncated, loops, or leads to another host is Internal.
func (c *Client) ListMailboxes(ctx context.Context, opts ListOptions, yield func(page []Mailbox) error) error {
	if opts.PageSize < 0 {
		return invalid("the page size is negative")
	}
	get := GetOptions{WithDisplayNames: opts.WithDisplayNames, Select: opts.Select}
	first, err := c.selecting(get)
	if err != nil {
		return err
	}
	l := &listing{client: c, first: first, options: get, seen: map[string]bool{}, yield: yield}
	var size any // nil is left out of the request
	if opts.PageSize > 0 {
		size = opts.PageSize
	}
	complete, err := l.pass(ctx, size, cmp.Or(opts.PageSize, pageLimit))
	if err == nil && !complete {
		complete, err = l.pass(ctx, "Unlimited", pageLimit)
	}
	if err == nil && !complete {
		return &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the vendor returned only a part of the mailboxes, also when asked for all"}
	}
	return err
}

// listing is the state of one ListMailboxes.
type listing struct {
	client  *Client
	first   *url.URL
	options GetOptions
	seen    map[string]bool
	yield   func([]Mailbox) error
}

// pass walks the pages once. It reports false if it came to an end before the mailboxes did.
func (l *listing) pass(ctx context.Context, size any, limit int) (complete bool, err error) {
	// The same body goes to every page (the page, "Pagination").
	body := parameters{ResultSize: size, WithDisplayNames: l.options.WithDisplayNames}.body(getMailbox)
	walk := nextlink.Start(Vendor, l.first, l.client.maxPages)
	for {
		res, err := l.client.post(ctx, transport.Read, walk.URL(), l.client.anchor, body)
		if err != nil {
			return false, err
		}
		if walk.Page() > 1 && res.Status == http.StatusBadRequest {
			// "Expired or Invalid pagination request" (seen): the body was good for the first page, so this is about the cursor.
			return false, nil
		}
		if err := check(transport.Read, getMailbox, res); err != nil {
			return false, err
		}
		a, err := decodeAnswer(res.Body, l.options.Select)
		if err != nil {
			return false, err
		}
		if fresh := l.unseen(a.mailboxes); len(fresh) > 0 {
			if err := l.yield(fresh); err != nil {
				return false, err
			}
		}
		if a.nextLink == "" {
			return !a.truncated(limit), nil
		}
		if err := walk.Next(a.nextLink); err != nil {
			return false, err
		}
	}
}

// unseen drops the mailboxes that were handed over before.
func (l *listing) unseen(page []Mailbox) []Mailbox {
	return slices.DeleteFunc(page, func(m Mailbox) bool {
		key := cmp.Or(m.ID, m.ExternalDirectoryObjectID, m.Identity, m.PrimarySMTPAddress)
		known := key != "" && l.seen[key]
		l.seen[key] = true
		return known
	})
}

// property is what a property's name may look like; anything else could change the query.
var property = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)

// selecting is the endpoint with a $select for the core and the further properties, or without one if nothing further is wanted.
func (c *Client) selecting(opts GetOptions) (*url.URL, error) {
	if len(opts.Select) == 0 {
		return c.endpoint, nil
	}
	names := slices.Clone(core)
	if opts.WithDisplayNames {
		names = append(names, withDisplayNames)
	}
	for _, name := range opts.Select {
		if !property.MatchString(name) {
			return nil, invalid("a selected property has no property's name")
		}
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	to := *c.endpoint
	to.RawQuery = "$select=" + strings.Join(names, ",")
	return &to, nil
}
