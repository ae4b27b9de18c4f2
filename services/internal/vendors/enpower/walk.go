package enpower

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/nextlink"
)

// MailboxType restricts a walk to one type of mailbox.
type MailboxType string

// The types that the API can tell apart. It keeps two lists: all are user and shared mailboxes,
// resource are rooms and equipment.
const (
	All       MailboxType = "all"
	User      MailboxType = "user"
	Shared    MailboxType = "shared"
	Resource  MailboxType = "resource"
	Room      MailboxType = "room"
	Equipment MailboxType = "equipment"
)

// collection is one of the API's two lists.
type collection struct {
	resource string // last part of the path
	member   string // of the answer, in lower case
	// parameter restricts the type; of its values (the page, "Query Parameters"; its source lists
	// the numbers) the default is left out of the query.
	parameter string
	types     map[MailboxType]string
}

var (
	mailboxes = collection{
		resource: "mailboxes", member: "mailboxes", parameter: "mailboxType",
		types: map[MailboxType]string{"": "", All: "", User: "1", Shared: "2"},
	}
	resourceMailboxes = collection{
		resource: "resourcemailboxes", member: "resourcemailboxes", parameter: "resourceMailboxType",
		types: map[MailboxType]string{Resource: "", Room: "1", Equipment: "2"},
	}
)

// IsResource reports whether a type is one of the list of resource mailboxes.
func (t MailboxType) IsResource() bool { _, ok := resourceMailboxes.types[t]; return ok }

// Query says which mailboxes to read, and in what portions.
type Query struct {
	// Tenant restricts the walk to one tenant as EnPower names it; empty means all of them. The
	// page does not say whether that is an id or a domain.
	Tenant string
	// Type restricts the walk to one type; empty means [All].
	Type MailboxType
	// PageSize is the number of mailboxes a page, 1 to 1000; 0 leaves it to the vendor (100).
	PageSize int
}

// Page is one page of a walk.
type Page struct {
	// Number counts from 1.
	Number int
	// Mailboxes as the vendor lists them. A mailbox that moves to a later page during the walk
	// comes twice. Removing duplicates is left to the caller: here it would take memory without
	// bound.
	Mailboxes []Mailbox
	// Unreadable are the rows that are no objects, by their place in the list, from 1. They are in
	// no way a mailbox's, and left out: one odd row does not cost the walk the others.
	Unreadable []int
	// TotalCount is the vendor's "total number of mailboxes retrieved", 0 where it does not say.
	// Whether it counts the page or the collection is not documented.
	TotalCount int64
}

// Mailboxes walks the mailboxes of the query's type: its pages, and hands each to yield, one in
// memory at a time. An error of yield ends the walk and is returned as it is. The order of
// mailboxes is not specified. A mailbox that is missing may exist all the same: EnPower scans now
// and then, and only what it may see. A later page that fails in a way that may pass is read again
// for [Config.PageTimeout].
//
// The errors: Invalid for a wrong query, Refused, Throttled, Unavailable, and Internal for an
// answer that cannot be understood or a nextLink that leads to another host, repeats or never
// ends. Pages handed over before stay valid.
//
// Rooms and equipment have another page (Retrieve Resource Mailbox Details); what only these have
// is in [Mailbox.Extra].
func (c *Client) Mailboxes(ctx context.Context, q Query, yield func(Page) error) error {
	of := mailboxes
	if q.Type.IsResource() {
		of = resourceMailboxes
	}
	first, err := c.first(of, q)
	if err != nil {
		return err
	}
	for walk := nextlink.Start(Vendor, first, c.maxPages); ; {
		page, next, err := c.page(ctx, of, walk)
		if err != nil {
			return err
		}
		if err := yield(page); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		// The link holds the query already; nothing is added to it (inferred).
		if err := walk.Next(next); err != nil {
			return err
		}
	}
}

// first is the address of the first page.
func (c *Client) first(of collection, q Query) (*url.URL, error) {
	number, known := of.types[q.Type]
	switch {
	case !known:
		return nil, invalid("the mailbox type is none of all, user, shared, resource, room and equipment")
	case q.PageSize < 0 || q.PageSize > 1000:
		return nil, invalid("the page size is not between 1 and 1000")
	case !utf8.ValidString(q.Tenant) || strings.ContainsFunc(q.Tenant, unicode.IsControl):
		return nil, invalid("the tenant has a control character")
	}
	query := url.Values{}
	if q.Tenant != "" {
		query.Set("tenant", q.Tenant)
	}
	if q.PageSize != 0 {
		query.Set("top", strconv.Itoa(q.PageSize))
	}
	if number != "" {
		query.Set(of.parameter, number)
	}
	first := c.base.JoinPath("smp", "exchange", of.resource)
	first.RawQuery = query.Encode()
	return first, nil
}

// page reads the page that the walk stands on, and the link to the next one, "" if there is none.
func (c *Client) page(ctx context.Context, of collection, walk *nextlink.Walk) (page Page, next string, err error) {
	err = walk.Read(ctx, c.pageTimeout, func() error {
		page, next, err = c.ask(ctx, of, walk)
		return err
	})
	return page, next, err
}

// ask asks for the page once.
func (c *Client) ask(ctx context.Context, of collection, walk *nextlink.Walk) (Page, string, error) {
	res, err := c.get(ctx, walk.URL())
	if err != nil {
		return Page{}, "", err
	}
	if err := check(res, walk.Page()); err != nil {
		return Page{}, "", err
	}
	page, next, err := decodePage(of.member, res.Body)
	if err != nil {
		return Page{}, "", &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the vendor's list of mailboxes can not be understood", Cause: err}
	}
	page.Number = walk.Page()
	return page, next, nil
}

// decodePage reads the envelope of an answer (the page, "Responses"); member is the list's name in
// lower case.
func decodePage(member string, body []byte) (page Page, next string, err error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return Page{}, "", fmt.Errorf("the answer is not a JSON object: %w", err)
	}
	envelope := make(map[string]json.RawMessage, len(object))
	// sorted: two spellings of one name must not race
	for _, name := range slices.Sorted(maps.Keys(object)) {
		envelope[strings.ToLower(name)] = object[name]
	}
	if kind(envelope[member]) != '[' {
		return Page{}, "", errors.New(member + " is no list") // else null or any object would pass for an empty one
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(envelope[member], &rows); err != nil {
		return Page{}, "", fmt.Errorf("%s: %w", member, err)
	}
	page.Mailboxes = make([]Mailbox, 0, len(rows))
	for i, row := range rows {
		var m Mailbox
		if m.UnmarshalJSON(row) != nil {
			page.Unreadable = append(page.Unreadable, i+1)
			continue
		}
		page.Mailboxes = append(page.Mailboxes, m)
	}
	if total, ok := decodeInt(envelope["totalcount"]); ok && total != nil {
		page.TotalCount = *total
	}
	if !absent(envelope["nextlink"]) { // "", null and missing all mean the end (inferred; the sample has "")
		if err := json.Unmarshal(envelope["nextlink"], &next); err != nil {
			return Page{}, "", fmt.Errorf("nextLink: %w", err)
		}
	}
	return page, next, nil
}

// invalid is a query that the vendor need not see.
func invalid(text string) error {
	return &failure.Error{Kind: failure.Invalid, Vendor: Vendor, Text: text}
}
