// Package nextlink follows the continuation links of a paged vendor API without trusting them.
//
// A nextLink is a URL that the vendor chooses and that our access token travels to. So it must stay
// on the scheme, host and port of the first page, must not come twice, and must end some day.
package nextlink

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/mailwright/mailwright/services/internal/failure"
)

// DefaultMaxPages bounds a walk where the caller names no bound: ten million mailboxes at 1,000 a
// page.
const DefaultMaxPages = 10_000

// Walk is one pass over the pages of a listing. It is not safe for concurrent use.
type Walk struct {
	vendor   string
	current  *url.URL
	seen     map[[sha256.Size]byte]struct{} // hashes, for a cursor may be kilobytes long
	maxPages int
}

// Start begins a walk at the first page's URL; maxPages 0 is [DefaultMaxPages].
func Start(vendor string, first *url.URL, maxPages int) *Walk {
	if maxPages == 0 {
		maxPages = DefaultMaxPages
	}
	w := &Walk{vendor: vendor, current: first, seen: map[[sha256.Size]byte]struct{}{}, maxPages: maxPages}
	w.visit(first)
	return w
}

// Page is the number of the current page, from 1.
func (w *Walk) Page() int { return len(w.seen) }

// URL is the address of the current page.
func (w *Walk) URL() *url.URL { return w.current }

// Next moves to the page that link names, absolute or relative to the current page.
//
// Its errors are Internal: the link is no URL, leaves the origin of the first page, was followed
// before, or exceeds the cap. After an error nothing may be sent: the walk is over.
func (w *Walk) Next(link string) error {
	u, err := w.current.Parse(strings.TrimSpace(link))
	if err != nil {
		return w.fail(fmt.Errorf("nextLink of %d bytes is not a URL", len(link)), "the vendor's nextLink is not a URL")
	}
	if origin(u) != origin(w.current) || u.User != nil {
		return w.fail(fmt.Errorf("nextLink to %q from %q", origin(u), origin(w.current)),
			"the vendor's nextLink leads to another host; it was not followed, for our access token would have gone there")
	}
	u.Fragment, u.RawFragment = "", ""
	if len(w.seen) >= w.maxPages {
		return w.fail(nil, fmt.Sprintf("the vendor's listing has more than %d pages", w.maxPages))
	}
	if !w.visit(u) {
		return w.fail(nil, "the vendor's nextLink repeats: the listing would never end")
	}
	w.current = u
	return nil
}

// ErrExpired says that the vendor will never serve the page, so that the listing must begin again.
var ErrExpired = errors.New("the nextLink has expired")

// Read reads the current page by calling read. A page after the first is read again after an error
// that may pass, until timeout has passed: otherwise one failure in a listing of a thousand pages
// would lose all pages before it. The first page is read once.
func (w *Walk) Read(ctx context.Context, timeout time.Duration, read func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	mayPass := func(err error) bool { return w.Page() > 1 && mayPass(err) }
	_, err := failure.Retry(ctx, backoff.NewExponentialBackOff(), mayPass, func() (struct{}, error) { return struct{}{}, read() })
	return err
}

// mayPass reports whether the same page may be readable later.
func mayPass(err error) bool {
	return failure.PassesSoon(err) && !errors.Is(err, ErrExpired)
}

// visit reports whether u is new.
func (w *Walk) visit(u *url.URL) bool {
	key := sha256.Sum256([]byte(u.String()))
	_, known := w.seen[key]
	w.seen[key] = struct{}{}
	return !known
}

func (w *Walk) fail(cause error, text string) error {
	return &failure.Error{Kind: failure.Internal, Vendor: w.vendor, Text: text, Cause: cause}
}

// origin is scheme, host and port as RFC 6454 compares them: in lower case, the default port left
// out.
func origin(u *url.URL) string {
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	return scheme + "://" + host + ":" + port
}
