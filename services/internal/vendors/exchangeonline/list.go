package exchangeonline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/nextlink"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// listing walks the pages of one Get- cmdlet and hands each row over once.
//
// The vendor is known to refuse its own cursors, since one lives on one of its servers (seen). The
// listing then starts once more, with ResultSize "Unlimited", and leaves out what it has handed
// over. It never ends short without an error: what is still truncated, loops, or leads to another
// host is Internal.
type listing[T any] struct {
	client     *Client
	first      *url.URL
	cmdlet     string
	parameters parameters
	anchor     string
	decode     func(json.RawMessage) (T, error)
	// key tells rows apart; "" for one that cannot be, which is never taken for one seen before.
	key   func(T) string
	yield func([]T) error
	// restart, if set, is called before the listing starts once more: it drops what yield was
	// given.
	restart func()
	seen    map[string]bool
}

// all walks the whole list in pages of that size; 0 leaves it to the vendor.
func (l *listing[T]) all(ctx context.Context, pageSize int) error {
	if pageSize < 0 {
		return invalid("the page size is negative")
	}
	l.seen = map[string]bool{}
	var size any // nil is left out of the request
	if pageSize > 0 {
		size = pageSize
	}
	complete, err := l.pass(ctx, size, cmp.Or(pageSize, pageLimit))
	if err == nil && !complete {
		if l.restart != nil {
			l.restart()
		}
		complete, err = l.pass(ctx, "Unlimited", pageLimit)
	}
	if err == nil && !complete {
		return &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the vendor returned only a part of the list, also when asked for all"}
	}
	return err
}

// pass walks the pages once. It reports false if it came to an end before the rows did.
func (l *listing[T]) pass(ctx context.Context, size any, limit int) (complete bool, err error) {
	l.parameters.ResultSize = size
	body := l.parameters.body(l.cmdlet) // the same body goes to every page (the page, "Pagination")
	walk := nextlink.Start(Vendor, l.first, l.client.maxPages)
	for {
		a, rows, err := l.page(ctx, walk, body)
		if errors.Is(err, nextlink.ErrExpired) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if fresh := l.unseen(rows); len(fresh) > 0 {
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

// page reads the page that the walk stands on.
func (l *listing[T]) page(ctx context.Context, walk *nextlink.Walk, body []byte) (a answer, rows []T, err error) {
	err = walk.Read(ctx, l.client.pageTimeout, func() error {
		res, err := l.client.post(ctx, transport.Read, walk.URL(), l.anchor, body)
		if err != nil {
			return err
		}
		if walk.Page() > 1 && res.Status == http.StatusBadRequest {
			// "Expired or Invalid pagination request" (seen): the body was good for the first page,
			// so this is about the cursor.
			return nextlink.ErrExpired
		}
		if err := check(transport.Read, l.cmdlet, res); err != nil {
			return err
		}
		a, rows, err = decodeRows(l.cmdlet, res.Body, l.decode)
		return err
	})
	return a, rows, err
}

// unseen drops the rows that were handed over before.
func (l *listing[T]) unseen(rows []T) []T {
	return slices.DeleteFunc(rows, func(row T) bool {
		key := l.key(row)
		known := key != "" && l.seen[key]
		l.seen[key] = true
		return known
	})
}
