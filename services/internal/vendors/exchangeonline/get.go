package exchangeonline

import (
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

const getMailbox = "Get-Mailbox"

// GetOptions says what to read of a mailbox.
type GetOptions struct {
	// WithDisplayNames asks for the delegates' display names. The vendor rolls the parameter out in
	// stages: an organisation without it answers Refused.
	WithDisplayNames bool
	// Select names properties to read beyond the core. The vendor promises none of them (the page,
	// "Response overview").
	Select []string
}

// ListOptions says what to read of every mailbox, and in what portions.
type ListOptions struct {
	// PageSize is the vendor's ResultSize; 0 leaves it to the vendor (1,000).
	PageSize         int
	WithDisplayNames bool
	Select           []string
}

// GetMailbox reads the one mailbox that identity names: name, distinguished name, alias, UPN, GUID
// or address (the page, "Supported cmdlets and parameters").
//
// Its errors: NotFound, Invalid if identity is empty, has a wildcard or names several mailboxes,
// Refused, Throttled, Unavailable, Internal.
func (c *Client) GetMailbox(ctx context.Context, identity string, opts GetOptions) (Mailbox, error) {
	if err := checkIdentity(identity); err != nil {
		return Mailbox{}, err
	}
	to, err := c.selecting(mailboxEndpoint, opts.always(), opts.Select)
	if err != nil {
		return Mailbox{}, err
	}
	body, err := c.call(ctx, transport.Read, to, getMailbox, identity, parameters{Identity: identity, WithDisplayNames: opts.WithDisplayNames})
	if err != nil {
		return Mailbox{}, err
	}
	_, found, err := decodeRows(getMailbox, body, opts.decode)
	switch {
	case err != nil:
		return Mailbox{}, err
	case len(found) == 0:
		return Mailbox{}, &failure.Error{Kind: failure.NotFound, Vendor: Vendor, Text: "the vendor does not know the mailbox"}
	case len(found) > 1:
		return Mailbox{}, invalid("the name fits several mailboxes")
	}
	return found[0], nil
}

// decode reads a mailbox with what was asked for.
func (o GetOptions) decode(raw json.RawMessage) (Mailbox, error) { return decodeMailbox(raw, o.Select) }

// ListMailboxes reads every mailbox and hands them to yield page by page, each mailbox once. An
// error of yield ends the listing and is returned as it is. A listing never ends short without an
// error: what is truncated, loops, or leads to another host is Internal.
func (c *Client) ListMailboxes(ctx context.Context, opts ListOptions, yield func(page []Mailbox) error) error {
	get := GetOptions{WithDisplayNames: opts.WithDisplayNames, Select: opts.Select}
	first, err := c.selecting(mailboxEndpoint, get.always(), get.Select)
	if err != nil {
		return err
	}
	l := &listing[Mailbox]{
		client: c, first: first, cmdlet: getMailbox, parameters: parameters{WithDisplayNames: opts.WithDisplayNames}, anchor: c.anchor,
		decode: get.decode, key: Mailbox.key, yield: yield,
	}
	return l.all(ctx, opts.PageSize)
}

// property is what a property's name may look like; anything else could change the query.
var property = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,99}$`)

// always are the properties that are read of a mailbox whatever else is.
func (o GetOptions) always() []string {
	if o.WithDisplayNames {
		return append(slices.Clone(core), withDisplayNames)
	}
	return core
}

// selecting is an endpoint with a $select for the properties that are always read and the further
// ones, or without one if nothing further is wanted. The pages of Mailbox, AcceptedDomain and both
// kinds of group members have $select, those of the other endpoints have not.
func (c *Client) selecting(endpoint string, always, further []string) (*url.URL, error) {
	to := c.endpoint(endpoint)
	if len(further) == 0 {
		return to, nil
	}
	names := slices.Clone(always)
	for _, name := range further {
		if !property.MatchString(name) {
			return nil, invalid("a selected property has no property's name")
		}
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			names = append(names, name)
		}
	}
	to.RawQuery = "$select=" + strings.Join(names, ",")
	return to, nil
}
