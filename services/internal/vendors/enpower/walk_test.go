package enpower_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

const path = "/smp/exchange/mailboxes"

// reply is one answer of the vendor.
type reply struct {
	status int
	body   string
	header map[string]string
}

// vendor answers with its replies in turn, the last of them for ever, and keeps the requests.
type vendor struct {
	*httptest.Server
	mu      sync.Mutex
	tokens  int
	got     []string // token, method and target
	replies []reply
}

func newVendor(t *testing.T, replies ...reply) *vendor {
	t.Helper()
	v := &vendor{replies: replies}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if req.URL.Path == "/connect/token" {
		v.tokens++
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"hush-%d","expires_in":3600,"token_type":"Bearer","scope":"enpower.data.read.all"}`, v.tokens)
		return
	}
	v.got = append(v.got, strings.Join([]string{req.Header.Get("Authorization"), req.Method, req.URL.RequestURI()}, " "))
	r := v.replies[min(len(v.got), len(v.replies))-1]
	for name, value := range r.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write([]byte(strings.ReplaceAll(r.body, "{{base}}", v.URL)))
}

func (v *vendor) requests() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]string(nil), v.got...)
}

func (v *vendor) config() enpower.Config {
	return enpower.Config{BaseURL: v.URL, TokenURL: v.URL + "/connect/token", ClientID: "app", ClientSecret: secret.New("hush-secret")}
}

func client(t testing.TB, cfg enpower.Config) *enpower.Client {
	t.Helper()
	c, err := enpower.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// walk returns the ids a page, and the pages without their mailboxes.
func walk(t testing.TB, c *enpower.Client, q enpower.Query) (ids [][]string, pages []enpower.Page, err error) {
	t.Helper()
	err = c.Mailboxes(t.Context(), q, func(p enpower.Page) error {
		var page []string
		for _, m := range p.Mailboxes {
			page = append(page, m.TenantID+"/"+m.ID)
		}
		p.Mailboxes = nil
		ids, pages = append(ids, page), append(pages, p)
		return nil
	})
	return ids, pages, err
}

// list is an answer with the given ids ("tenant/id") and nextLink as JSON.
func list(nextLink string, ids ...string) reply {
	rows := make([]string, len(ids))
	for i, id := range ids {
		tenant, id, _ := strings.Cut(id, "/")
		rows[i] = fmt.Sprintf(`{"tenantId":%q,"id":%q}`, tenant, id)
	}
	return reply{status: 200, body: fmt.Sprintf(`{"mailboxes":[%s],"totalCount":%d,"nextLink":%s}`, strings.Join(rows, ","), len(ids), nextLink)}
}

func TestFirstRequest(t *testing.T) {
	t.Parallel()
	for want, q := range map[string]enpower.Query{
		path:                                      {},
		path + "?top=1000":                        {PageSize: 1000, Type: enpower.All},
		path + "?mailboxType=1":                   {Type: enpower.User},
		path + "?mailboxType=2&top=1":             {Type: enpower.Shared, PageSize: 1},
		path + "?tenant=contoso.com%26top%3D9":    {Tenant: "contoso.com&top=9"},
		path + "?mailboxType=2&tenant=t-1&top=10": {Type: enpower.Shared, PageSize: 10, Tenant: "t-1"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			v := newVendor(t, list(`""`))
			if _, _, err := walk(t, client(t, v.config()), q); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{"Bearer hush-1 GET " + want}, v.requests()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWrongQueriesAreNotSent(t *testing.T) {
	t.Parallel()
	v := newVendor(t, list(`""`))
	for _, q := range []enpower.Query{{PageSize: -1}, {PageSize: 1001}, {Type: "rooms"}, {Tenant: "a\nb"}, {Tenant: "\xff"}} {
		if _, _, err := walk(t, client(t, v.config()), q); !failure.Is(err, failure.Invalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if got := v.requests(); len(got) != 0 {
		t.Errorf("sent all the same: %v", got)
	}
}

// TestWalkWithTheDocumentedSample walks three pages, the second of which is the vendor's sample.
func TestWalkWithTheDocumentedSample(t *testing.T) {
	t.Parallel()
	second := strings.Replace(string(file(t, "sample.json")), `"nextLink": ""`, `"nextLink": "`+path+`?cursor=3"`, 1)
	v := newVendor(t, list(`"{{base}}`+path+`?cursor=2"`, "t/a", "t/b"), reply{status: 200, body: second}, list(`null`, "t/c"))
	var numbers []int
	var mailboxes []enpower.Mailbox
	err := client(t, v.config()).Mailboxes(t.Context(), enpower.Query{PageSize: 2, Tenant: "t"}, func(p enpower.Page) error {
		numbers, mailboxes = append(numbers, p.Number), append(mailboxes, p.Mailboxes...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int{1, 2, 3}, numbers); d != "" {
		t.Error(d)
	}
	want := []enpower.Mailbox{{TenantID: "t", ID: "a"}, {TenantID: "t", ID: "b"}, sample(t), {TenantID: "t", ID: "c"}}
	if d := cmp.Diff(want, mailboxes); d != "" {
		t.Error(d)
	}
	requests := []string{"Bearer hush-1 GET " + path + "?tenant=t&top=2", "Bearer hush-1 GET " + path + "?cursor=2", "Bearer hush-1 GET " + path + "?cursor=3"}
	if d := cmp.Diff(requests, v.requests()); d != "" {
		t.Error(d)
	}
}

func TestEndOfTheWalk(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":    `{"mailboxes":[{"id":"a"}],"totalCount":1000,"nextLink":""}`,
		"blank":    `{"mailboxes":[{"id":"a"}],"totalCount":1000,"nextLink":" "}`,
		"null":     `{"mailboxes":[{"id":"a"}],"totalCount":1000,"nextLink":null}`,
		"missing":  `{"mailboxes":[{"id":"a"}],"totalCount":1000}`,
		"by text":  `{"mailboxes":[{"id":"a"}],"totalCount":"1000"}`,
		"by case":  `{"Mailboxes":[{"Id":"a"}],"TotalCount":1000,"NextLink":""}`,
		"new name": `{"mailboxes":[{"id":"a"}],"totalCount":1000,"version":2}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ids, pages, err := walk(t, client(t, newVendor(t, reply{status: 200, body: body}).config()), enpower.Query{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([][]string{{"/a"}}, ids); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff([]enpower.Page{{Number: 1, TotalCount: 1000}}, pages); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPagesAreReadAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		replies []reply
		kind    failure.Kind // "": the walk ends well
		asked   int
	}{
		"later page":      {[]reply{list(`"?2"`, "t/a"), {status: 503}, {status: 429, header: map[string]string{"Retry-After": "1"}}, list(`""`, "t/b")}, "", 4},
		"first page":      {[]reply{{status: 503}, list(`""`, "t/a")}, failure.Unavailable, 1},
		"refusal":         {[]reply{list(`"?2"`, "t/a"), {status: 403}, list(`""`, "t/b")}, failure.Refused, 2},
		"expired link":    {[]reply{list(`"?2"`, "t/a"), {status: 410}, list(`""`, "t/b")}, failure.Unavailable, 2},
		"longer than may": {[]reply{list(`"?2"`, "t/a"), {status: 503, header: map[string]string{"Retry-After": "3600"}}}, failure.Unavailable, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVendor(t, c.replies...)
			cfg := v.config()
			cfg.PageTimeout = time.Minute
			ids, _, err := walk(t, client(t, cfg), enpower.Query{})
			if c.kind == "" && (err != nil || len(ids) != 2) || c.kind != "" && !failure.Is(err, c.kind) {
				t.Errorf("%v after %v, want %s", err, ids, c.kind)
			}
			if got := len(v.requests()); got != c.asked {
				t.Errorf("asked %d times, want %d", got, c.asked)
			}
		})
	}
}

func TestEmptyPagesDoNotEndTheWalk(t *testing.T) {
	t.Parallel()
	v := newVendor(t, list(`"?2"`), list(`"?3"`), list(`""`, "t/a"))
	ids, _, err := walk(t, client(t, v.config()), enpower.Query{})
	if d := cmp.Diff([][]string{nil, nil, {"t/a"}}, ids); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
}

func TestTokenIsRenewedInTheMiddleOfAWalk(t *testing.T) {
	t.Parallel()
	v := newVendor(t, list(`"?2"`, "t/a"), reply{status: 401}, list(`""`, "t/b"))
	ids, _, err := walk(t, client(t, v.config()), enpower.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]string{{"t/a"}, {"t/b"}}, ids); d != "" {
		t.Error(d)
	}
	want := []string{"Bearer hush-1 GET " + path, "Bearer hush-1 GET " + path + "?2", "Bearer hush-2 GET " + path + "?2"}
	if d := cmp.Diff(want, v.requests()); d != "" {
		t.Error(d)
	}
}

func TestTokenIsRenewedOnceOnly(t *testing.T) {
	t.Parallel()
	v := newVendor(t, list(`"?2"`, "t/a"), reply{status: 401})
	_, _, err := walk(t, client(t, v.config()), enpower.Query{})
	if !failure.Is(err, failure.Unavailable) || len(v.requests()) != 3 {
		t.Fatalf("%v after %v", err, v.requests())
	}
}

func TestNextLinkToAnotherHostSendsNothing(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	host := strings.TrimPrefix(other.URL, "http:")
	for _, link := range []string{other.URL + path, host + path, "{{base}}@" + strings.TrimPrefix(host, "//"), "https:" + host} {
		v := newVendor(t, list(`"`+link+`"`, "t/a"), list(`""`, "t/b"))
		ids, _, err := walk(t, client(t, v.config()), enpower.Query{})
		if f := failure.Of(err); f == nil || f.Kind != failure.Internal || !strings.Contains(f.Text, "nextLink") {
			t.Errorf("%s: %v, want an Internal failure that names the danger", link, err)
		}
		if len(v.requests()) != 1 || len(ids) != 1 {
			t.Errorf("%s: requests %v, pages %v", link, v.requests(), ids)
		}
	}
	if reached.Load() {
		t.Error("another host was called")
	}
}

func TestWalkEndsLoopsAndCapsPages(t *testing.T) {
	t.Parallel()
	loop := newVendor(t, list(`"?2"`, "t/a"), list(`"?3"`, "t/b"), list(`"?2"`, "t/c"))
	if _, _, err := walk(t, client(t, loop.config()), enpower.Query{}); !failure.Is(err, failure.Internal) || len(loop.requests()) != 3 {
		t.Errorf("loop: %v after %v", err, loop.requests())
	}
	endless := newVendor(t, list(`"?2"`), list(`"?3"`), list(`"?4"`))
	cfg := endless.config()
	cfg.MaxPages = 2
	if _, _, err := walk(t, client(t, cfg), enpower.Query{}); !failure.Is(err, failure.Internal) || len(endless.requests()) != 2 {
		t.Errorf("cap: %v after %v", err, endless.requests())
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(other.Close)
	v := newVendor(t, reply{status: 302, header: map[string]string{"Location": other.URL}})
	if _, _, err := walk(t, client(t, v.config()), enpower.Query{}); !failure.Is(err, failure.Refused) || reached.Load() {
		t.Errorf("%v, followed: %v", err, reached.Load())
	}
}

func TestWalkEndsWithTheErrorOfYield(t *testing.T) {
	t.Parallel()
	v := newVendor(t, list(`"?2"`, "t/a"), list(`""`, "t/b"))
	stop := errors.New("stop")
	err := client(t, v.config()).Mailboxes(t.Context(), enpower.Query{}, func(enpower.Page) error { return stop })
	if !errors.Is(err, stop) || len(v.requests()) != 1 {
		t.Fatalf("%v after %v", err, v.requests())
	}
}

// TestARowThatIsNoObjectIsNamed: it does not cost the walk the page's others.
func TestARowThatIsNoObjectIsNamed(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{200, `{"mailboxes":[null,{"id":"a","tenantId":"t"},"b",7,[],{"id":"c","tenantId":"t"}],"nextLink":""}`, nil})
	var page enpower.Page
	err := client(t, v.config()).Mailboxes(t.Context(), enpower.Query{}, func(p enpower.Page) error { page = p; return nil })
	if err != nil || len(page.Mailboxes) != 2 || page.Mailboxes[1].ID != "c" {
		t.Fatalf("%v %+v", err, page)
	}
	if d := cmp.Diff([]int{1, 3, 4, 5}, page.Unreadable); d != "" {
		t.Error(d)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	const sibling = `{"statusCode":400,"message":"hush","errors":[{"code":"InvalidParameter","field":"top","message":"hush"}],"requestId":"0HNEVHLNSPSEJ:00000009","traceId":"00-ab-00"}`
	for name, tc := range map[string]struct {
		reply reply
		kind  failure.Kind // on the first page
		later failure.Kind // on a later one
		code  string
	}{
		"invalid parameter":    {reply{400, sibling, nil}, failure.Invalid, failure.Unavailable, "InvalidParameter"},
		"400 without a body":   {reply{400, "", nil}, failure.Invalid, failure.Unavailable, "HTTP 400"},
		"401":                  {reply{401, "", nil}, failure.Unavailable, failure.Unavailable, "HTTP 401"},
		"403":                  {reply{403, "\x00\x00", nil}, failure.Refused, failure.Refused, "HTTP 403"},
		"404":                  {reply{404, "<html>hush", nil}, failure.Refused, failure.Unavailable, "HTTP 404"},
		"418":                  {reply{418, "", nil}, failure.Refused, failure.Refused, "HTTP 418"},
		"429":                  {reply{429, sibling, map[string]string{"Retry-After": "30"}}, failure.Throttled, failure.Throttled, "InvalidParameter"},
		"500":                  {reply{500, `{"errors":"hush","requestId":7}`, nil}, failure.Unavailable, failure.Unavailable, "HTTP 500"},
		"503":                  {reply{503, "", map[string]string{"Retry-After": "30"}}, failure.Unavailable, failure.Unavailable, "HTTP 503"},
		"a code that is prose": {reply{400, `{"errors":[{"code":"hush: pass word"}]}`, nil}, failure.Invalid, failure.Unavailable, "HTTP 400"},
		"204":                  {reply{204, "", nil}, failure.Internal, failure.Internal, "HTTP 204"},
		"empty":                {reply{200, "", nil}, failure.Internal, failure.Internal, ""},
		"not JSON":             {reply{200, "<html>hush", nil}, failure.Internal, failure.Internal, ""},
		"no mailboxes":         {reply{200, `{"totalCount":0}`, nil}, failure.Internal, failure.Internal, ""},
		"another sibling":      {reply{200, `{"resourceMailboxes":[]}`, nil}, failure.Internal, failure.Internal, ""},
		"an array":             {reply{200, `[{"id":"a"}]`, nil}, failure.Internal, failure.Internal, ""},
		"mailboxes an object":  {reply{200, `{"mailboxes":{"id":"a"}}`, nil}, failure.Internal, failure.Internal, ""},
		"nextLink an object":   {reply{200, `{"mailboxes":[],"nextLink":{"href":"?2"}}`, nil}, failure.Internal, failure.Internal, ""},
		"cut short":            {reply{200, `{"mailboxes":[{"id":"a"}`, nil}, failure.Internal, failure.Internal, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, replies := range map[*failure.Kind][]reply{&tc.kind: {tc.reply}, &tc.later: {list(`"?2"`, "t/a"), tc.reply}} {
				_, _, err := walk(t, client(t, newVendor(t, replies...).config()), enpower.Query{})
				f := failure.Of(err)
				if f == nil || f.Kind != *kind || f.Code != tc.code || f.Vendor != enpower.Vendor {
					t.Errorf("page %d: %#v, want %s with code %q", len(replies), f, *kind, tc.code)
					continue
				}
				if tc.reply.header != nil && f.RetryAfter != 30*time.Second {
					t.Errorf("RetryAfter %s", f.RetryAfter)
				}
				if all := fmt.Sprintf("%v %v", f, f.Cause); strings.Contains(all, "hush") {
					t.Errorf("vendor's text got through: %s", all)
				}
			}
		})
	}
}

func TestCauseHasWhatSupportAsksFor(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]reply{
		"header": {500, "", map[string]string{"request-id": "4711"}},
		"body":   {500, `{"requestId":"4711"}`, nil},
	} {
		_, _, err := walk(t, client(t, newVendor(t, r).config()), enpower.Query{})
		if f := failure.Of(err); !strings.Contains(fmt.Sprint(f.Cause), "4711") || strings.Contains(f.Text, "4711") {
			t.Errorf("%s: text %q, cause %v", name, f.Text, f.Cause)
		}
	}
}

func TestNewNamesTheFields(t *testing.T) {
	t.Parallel()
	_, err := enpower.New(enpower.Config{BaseURL: "https://u:hush@example.com", MaxPages: -1})
	for _, field := range []string{"BaseURL", "TokenURL", "ClientID", "ClientSecret", "MaxPages"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	if strings.Contains(fmt.Sprint(err), "hush") {
		t.Errorf("%v", err)
	}
}

func TestNothingPrintsSecretOrToken(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 403, body: `{"errors":[{"code":"Bearer hush-1"}],"requestId":"Bearer hush-1"}`})
	c := client(t, v.config())
	_, _, err := walk(t, c, enpower.Query{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, x := range []any{c, *c, v.config(), err, failure.Of(err).Cause, struct{ c *enpower.Client }{c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if got := fmt.Sprintf(verb, x); strings.Contains(got, "hush") {
				t.Errorf("%s of %T: %s", verb, x, got)
			}
		}
	}
}

// inMemory answers every call with the same status and body.
type inMemory struct {
	status int
	body   []byte
}

func (m inMemory) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if req.URL.Path == "/connect/token" {
		rec.Header().Set("Content-Type", "application/json")
		_, _ = rec.WriteString(`{"access_token":"T","expires_in":3600}`)
	} else {
		rec.WriteHeader(m.status)
		_, _ = rec.Write(m.body)
	}
	return rec.Result(), nil
}

// FuzzPage throws answers at the client: the walk must end without a panic, and every mailbox have
// a stable JSON form.
func FuzzPage(f *testing.F) {
	f.Add(200, file(f, "sample.json"))
	for _, s := range []string{"", "[]", `{"mailboxes":[{}],"nextLink":"?a"}`, `{"mailboxes":[null]}`, `{"mailboxes":[],"nextLink":"//x"}`, `{"errors":[{}]}`} {
		f.Add(200, []byte(s))
		f.Add(500, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			t.Skip()
		}
		c := client(t, enpower.Config{
			BaseURL: "https://graph-us.example.com", TokenURL: "https://identity.example.com/connect/token", ClientID: "app", ClientSecret: secret.New("s"),
			MaxPages: 3, HTTP: transport.Config{RoundTripper: inMemory{status, body}},
		})
		err := c.Mailboxes(t.Context(), enpower.Query{}, func(p enpower.Page) error {
			for _, m := range p.Mailboxes {
				stable(t, m)
			}
			return nil
		})
		if err == nil && (status != 200 || !json.Valid(body)) {
			t.Fatalf("HTTP %d with %q passed for a page", status, body)
		}
	})
}

func TestResourceMailboxes(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 200, body: `{"resourceMailboxes":[{"id":"r1","displayName":"Room Rigi","recipientType":"Room mailbox","capacity":12}],"totalCount":1,"nextLink":""}`})
	var got []enpower.Mailbox
	collect := func(p enpower.Page) error { got = append(got, p.Mailboxes...); return nil }
	if err := client(t, v.config()).Mailboxes(t.Context(), enpower.Query{Type: enpower.Room, PageSize: 10}, collect); err != nil {
		t.Fatal(err)
	}
	if want := "Bearer hush-1 GET /smp/exchange/resourcemailboxes?resourceMailboxType=1&top=10"; strings.Join(v.requests(), "\n") != want {
		t.Errorf("%v, want %s", v.requests(), want)
	}
	if len(got) != 1 || got[0].RecipientType != "Room mailbox" || string(got[0].Extra["capacity"]) != "12" {
		t.Errorf("%+v", got)
	}
	if err := client(t, v.config()).Mailboxes(t.Context(), enpower.Query{Type: "nonsense"}, collect); !failure.Is(err, failure.Invalid) {
		t.Errorf("a type of the other list: %v", err)
	}
	if err := client(t, v.config()).Mailboxes(t.Context(), enpower.Query{}, collect); !failure.Is(err, failure.Internal) {
		t.Errorf("the other list's answer: %v", err)
	}
}
