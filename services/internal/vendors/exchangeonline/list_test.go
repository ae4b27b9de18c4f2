package exchangeonline_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

const (
	more       = `,"@odata.nextLink":"{{base}}` + path + `?$skiptoken=%s"`
	raise      = `,"@adminapi.warnings":["Es sind weitere Ergebnisse verfügbar. Erhöhen Sie den Wert des Parameters ResultSize."]`
	unrelated  = `,"@adminapi.warnings":["The object x has been corrupted."]`
	badCursor  = `{"error":{"code":"BadRequest","message":"Expired or Invalid pagination request. Default Expiry time is 00:30:00"}}`
	unlimited  = `"ResultSize":"Unlimited"`
	twoPerPage = `"ResultSize":2`
)

// rows is an answer with the given ids and further members.
func rows(members string, ids ...string) reply {
	for i, id := range ids {
		ids[i] = fmt.Sprintf(`{"Id":%q}`, id)
	}
	return reply{status: 200, body: `{"value":[` + strings.Join(ids, ",") + `]` + members + `}`}
}

func next(cursor string) string { return fmt.Sprintf(more, cursor) }

func TestListMailboxes(t *testing.T) {
	t.Parallel()
	cursorDied := reply{status: 400, body: badCursor}
	for name, tc := range map[string]struct {
		replies []reply
		pages   [][]string
		sizes   []string // what each request says of ResultSize
		kind    failure.Kind
	}{
		"three pages": {
			replies: []reply{rows(next("1"), "a", "b"), rows(next("2"), "c", "d"), rows("", "e")},
			pages:   [][]string{{"a", "b"}, {"c", "d"}, {"e"}},
			sizes:   []string{twoPerPage, twoPerPage, twoPerPage},
		},
		"warnings with a nextLink are followed": {
			replies: []reply{rows(next("1")+raise, "a", "b"), rows("", "c")},
			pages:   [][]string{{"a", "b"}, {"c"}},
			sizes:   []string{twoPerPage, twoPerPage},
		},
		"nobody": {replies: []reply{rows("")}, sizes: []string{twoPerPage}},
		"an empty page in the middle": {
			replies: []reply{rows(next("1"), "a"), rows(next("2")), rows("", "b")},
			pages:   [][]string{{"a"}, {"b"}},
			sizes:   []string{twoPerPage, twoPerPage, twoPerPage},
		},
		"a mailbox that moves between pages comes once": {
			replies: []reply{rows(next("1"), "a", "b"), rows("", "b", "c")},
			pages:   [][]string{{"a", "b"}, {"c"}},
			sizes:   []string{twoPerPage, twoPerPage},
		},
		"a refused cursor restarts once": {
			replies: []reply{rows(next("1"), "a", "b"), cursorDied, rows("", "a", "b", "c", "d")},
			pages:   [][]string{{"a", "b"}, {"c", "d"}},
			sizes:   []string{twoPerPage, twoPerPage, unlimited},
		},
		"a refused cursor after the restart": {
			replies: []reply{rows(next("1"), "a", "b"), cursorDied, rows(next("2"), "a", "b", "c"), cursorDied},
			pages:   [][]string{{"a", "b"}, {"c"}},
			sizes:   []string{twoPerPage, twoPerPage, unlimited, unlimited},
			kind:    failure.Internal,
		},
		"truncated without a nextLink restarts once": {
			replies: []reply{rows(raise, "a", "b"), rows("", "a", "b", "c")},
			pages:   [][]string{{"a", "b"}, {"c"}},
			sizes:   []string{twoPerPage, unlimited},
		},
		"still truncated": {
			replies: []reply{rows(raise, "a", "b"), rows(raise, "a", "b", "c")},
			pages:   [][]string{{"a", "b"}, {"c"}},
			sizes:   []string{twoPerPage, unlimited},
			kind:    failure.Internal,
		},
		"an unrelated warning on a short page": {
			replies: []reply{rows(unrelated, "a")},
			pages:   [][]string{{"a"}},
			sizes:   []string{twoPerPage},
		},
		"an unrelated warning on a full page may hide more": {
			replies: []reply{rows(unrelated, "a", "b"), rows(unrelated, "a", "b", "c")},
			pages:   [][]string{{"a", "b"}, {"c"}},
			sizes:   []string{twoPerPage, unlimited},
		},
		"a 400 to the first page is no cursor's": {
			replies: []reply{{status: 400, body: badCursor}},
			sizes:   []string{twoPerPage},
			kind:    failure.Refused,
		},
		"a nextLink that repeats": {
			replies: []reply{rows(next("1"), "a", "b"), rows(next("1"), "c", "d")},
			pages:   [][]string{{"a", "b"}, {"c", "d"}},
			sizes:   []string{twoPerPage, twoPerPage},
			kind:    failure.Internal,
		},
		"throttled on the way": {
			replies: []reply{rows(next("1"), "a", "b"), {status: 429}},
			pages:   [][]string{{"a", "b"}},
			sizes:   []string{twoPerPage, twoPerPage},
			kind:    failure.Throttled,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVendor(t, tc.replies...)
			var pages [][]string
			err := v.client(t).ListMailboxes(t.Context(), exchangeonline.ListOptions{PageSize: 2}, func(page []exchangeonline.Mailbox) error {
				var ids []string
				for _, m := range page {
					ids = append(ids, m.ID)
				}
				pages = append(pages, ids)
				return nil
			})
			if tc.kind == "" && err != nil || tc.kind != "" && !failure.Is(err, tc.kind) {
				t.Errorf("error %v, want kind %q", err, tc.kind)
			}
			if d := cmp.Diff(tc.pages, pages); d != "" {
				t.Errorf("pages: %s", d)
			}
			got := v.requests()
			if len(got) != len(tc.sizes) {
				t.Fatalf("%d requests, want %d", len(got), len(tc.sizes))
			}
			for i, size := range tc.sizes {
				if !strings.Contains(got[i].Body, size) || got[i].Method != http.MethodPost || got[i].Anchor != orgAnchor {
					t.Errorf("request %d: %+v, want %s", i, got[i], size)
				}
			}
		})
	}
}

func TestNextPageGetsTheSameBodyAtItsOwnURL(t *testing.T) {
	t.Parallel()
	v := newVendor(t, rows(next("cursor-1"), "a"), rows("", "b"))
	opts := exchangeonline.ListOptions{PageSize: 1, WithDisplayNames: true, Select: []string{"Office"}}
	if err := v.client(t).ListMailboxes(t.Context(), opts, func([]exchangeonline.Mailbox) error { return nil }); err != nil {
		t.Fatal(err)
	}
	got := v.requests()
	if got[0].Body != got[1].Body {
		t.Errorf("bodies differ: %s, %s", got[0].Body, got[1].Body)
	}
	if !strings.HasSuffix(got[0].Query, "GrantSendOnBehalfToWithDisplayNames,Office") || got[1].Query != "$skiptoken=cursor-1" {
		t.Errorf("queries %q, %q", got[0].Query, got[1].Query)
	}
}

func TestNextLinkToAnotherHostSendsNothing(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	for _, link := range []string{
		other.URL + path,
		strings.TrimPrefix(other.URL, "http:") + path,
		strings.Replace("{{base}}", "http:", "https:", 1) + "@" + strings.TrimPrefix(other.URL, "http://"),
	} {
		v := newVendor(t, rows(`,"@odata.nextLink":"`+link+`"`, "a"), rows("", "b"))
		err := v.client(t).ListMailboxes(t.Context(), exchangeonline.ListOptions{}, func([]exchangeonline.Mailbox) error { return nil })
		if f := failure.Of(err); f == nil || f.Kind != failure.Internal || !strings.Contains(f.Text, "nextLink") {
			t.Errorf("%s: %v, want an Internal failure that names the danger", link, err)
		}
		if n := len(v.requests()); n != 1 {
			t.Errorf("%s: %d requests", link, n)
		}
	}
	if reached.Load() {
		t.Error("another host was called")
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	v := newVendor(t, reply{status: 307, header: map[string]string{"Location": other.URL}})
	if err := v.client(t).SetSendOnBehalf(t.Context(), "alex@contoso.com", []string{"a@contoso.com"}); !failure.Is(err, failure.Refused) {
		t.Errorf("%v", err)
	}
	if reached.Load() {
		t.Error("the redirect was followed")
	}
}

func TestListCapsThePages(t *testing.T) {
	t.Parallel()
	v := newVendor(t, rows(next("1"), "a"), rows(next("2"), "b"), rows(next("3"), "c"))
	cfg := v.config()
	cfg.MaxPages = 2
	c, err := exchangeonline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = c.ListMailboxes(t.Context(), exchangeonline.ListOptions{}, func([]exchangeonline.Mailbox) error { return nil })
	if !failure.Is(err, failure.Internal) || len(v.requests()) != 2 {
		t.Fatalf("%v after %d requests", err, len(v.requests()))
	}
}

func TestListEndsWithTheErrorOfYield(t *testing.T) {
	t.Parallel()
	v := newVendor(t, rows(next("1"), "a"), rows("", "b"))
	stop := errors.New("stop")
	err := v.client(t).ListMailboxes(t.Context(), exchangeonline.ListOptions{}, func([]exchangeonline.Mailbox) error { return stop })
	if !errors.Is(err, stop) || len(v.requests()) != 1 {
		t.Fatalf("%v after %d requests", err, len(v.requests()))
	}
}
