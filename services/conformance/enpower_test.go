package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/enpower"
	"github.com/mailwright/mailwright/services/internal/vendors/transport"
)

// power is our client, changed as a fact asks.
func (b *env) power(changes ...func(*enpower.Config)) *enpower.Client {
	b.Helper()
	cfg := enpower.Config{BaseURL: b.url + "/enpower", TokenURL: b.url + "/enpower-identity/connect/token", ClientID: powerClient, ClientSecret: secret.New(powerSecret), HTTP: b.http()}
	if b.real != nil {
		cfg = b.real.EnPower.Client(b.http())
	}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := enpower.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// inventory is what a walk saw.
type inventory struct {
	byID  map[string]enpower.Mailbox
	pages int
	twice int
}

func (b *env) walk(c *enpower.Client, q enpower.Query, between func()) (inventory, error) {
	seen := inventory{byID: map[string]enpower.Mailbox{}}
	err := c.Mailboxes(b.Context(), q, func(p enpower.Page) error {
		seen.pages++
		for _, m := range p.Mailboxes {
			if _, known := seen.byID[m.ID]; known {
				seen.twice++
			}
			seen.byID[m.ID] = m
		}
		if between != nil {
			between()
		}
		return nil
	})
	return seen, err
}

// list asks for the mailboxes without our client.
func (b *env) list(query string) (answer, error) {
	token, err := b.token("/enpower-identity/connect/token", powerClient, powerSecret, "enpower.data.read.all")
	if err != nil {
		return answer{}, err
	}
	return b.send(http.MethodGet, "/enpower/smp/exchange/mailboxes"+query, "", "Authorization", "Bearer "+token)
}

// listing is an answer of the vendor's as the page shows it.
type listing struct {
	Mailboxes, ResourceMailboxes []map[string]any
	TotalCount                   int
	NextLink                     string
}

// listed reads an answer to b.list.
func listed(a answer, err error) (l listing, _ error) {
	if err := answers(a, err, http.StatusOK); err != nil {
		return l, err
	}
	return l, json.Unmarshal([]byte(a.body), &l)
}

// resources asks for the resource mailboxes without our client.
func (b *env) resources(query string) (answer, error) {
	token, err := b.token("/enpower-identity/connect/token", powerClient, powerSecret, "enpower.data.read.all")
	if err != nil {
		return answer{}, err
	}
	return b.send(http.MethodGet, "/enpower/smp/exchange/resourcemailboxes"+query, "", "Authorization", "Bearer "+token)
}

// first walks the first page, of a real tenant too.
func (b *env) first(q enpower.Query) (page enpower.Page, err error) {
	err = b.power().Mailboxes(b.Context(), q, func(p enpower.Page) error { page = p; return errEnough })
	if errors.Is(err, errEnough) {
		err = nil
	}
	return page, err
}

func (b *env) populate(n int) {
	b.Helper()
	b.control(http.MethodPost, "enpower/population", map[string]int{"count": n}, nil)
}

const sampleID = "f78625f8-3ec3-4665-835a-3502484af738"

func TestEnPower(t *testing.T) {
	t.Parallel()
	read := func(b *env) error { _, err := b.walk(b.power(), enpower.Query{}, nil); return err }
	list := append(slices.Concat(enpowerFacts, enpowerEdges), faults("enpower", "notes 5 and 6 (inferred)", "", nil, nil, "list-mailboxes", read)...)
	list = append(list, echoes("Cloud Backup's error body (inferred); guarantee G6", []string{"enpower", "enpower-identity"}, func(b *env, bounds transport.Config) error {
		_, err := b.walk(b.power(func(c *enpower.Config) { c.HTTP = bounds }), enpower.Query{}, nil)
		return err
	}))
	walk := func(b *env, between func()) (int, error) {
		b.populate(30)
		seen, err := b.walk(b.power(func(c *enpower.Config) { c.PageTimeout = time.Minute }), enpower.Query{PageSize: 20}, between)
		return seen.pages, err
	}
	raw := func(b *env) (answer, error) { return b.list("") }
	list = append(list, awayFault("enpower", "list-mailboxes", walk, raw), tokenFault("enpower", "list-mailboxes", walk, raw))
	if os.Getenv("FULL") != "" {
		list = append(list, million)
	}
	list = append(list, certificateFacts("App registration, Certificate (JWT claims)", powerByCertificate, powerClient, "/enpower-identity/connect/token")...)
	run(t, "enpower", list)
}

var enpowerFacts = []fact{
	{
		name: "mailboxes are listed in pages", source: "Retrieve User or Shared Mailbox Details, nextLink", reads: true,
		client: func(b *env) error {
			pages := 0
			err := b.power().Mailboxes(b.Context(), enpower.Query{PageSize: 10}, func(enpower.Page) error {
				if pages++; b.real != nil && pages == 2 {
					return errEnough
				}
				return nil
			})
			return that(err == nil || errors.Is(err, errEnough), "%v", err)
		},
		vendor: func(b *env) error {
			l, err := listed(b.list("?top=10"))
			return all(err, same("mailboxes", len(l.Mailboxes), 10), that(l.NextLink != "", "there is no nextLink"))
		},
	},
	{
		name: "without top a page has 100 mailboxes; nextLink is \"\" on the last", source: "Retrieve User or Shared Mailbox Details, Query Parameters: top; Responses: nextLink", reads: true,
		client: func(b *env) error {
			if b.real != nil {
				page, err := b.first(enpower.Query{})
				return all(err, that(len(page.Mailboxes) <= 100, "%d mailboxes", len(page.Mailboxes)))
			}
			b.populate(217)
			seen, err := b.walk(b.power(), enpower.Query{}, nil)
			return all(err, same("pages", seen.pages, 3), that(len(seen.byID) > 217 && seen.twice == 0, "%d mailboxes, %d twice", len(seen.byID), seen.twice))
		},
		vendor: func(b *env) error {
			b.populate(217)
			page, err := listed(b.list(""))
			last, err2 := listed(b.list("?top=1000"))
			return all(err, err2, same("mailboxes", len(page.Mailboxes), 100), that(page.NextLink != "", "there is no nextLink"), same("nextLink of the last", last.NextLink, ""))
		},
	},
	{
		name: "top is 1 to 1000, mailboxType 0 to 2; anything else is 400", source: "Retrieve User or Shared Mailbox Details, Query Parameters; Use AvePoint Graph API (400)",
		client: func(b *env) error {
			_, err := b.walk(b.power(), enpower.Query{PageSize: 1001}, nil)
			received, _ := b.calls("list-mailboxes")
			return all(wants(err, failure.Invalid), same("calls", received, 0))
		},
		vendor: func(b *env) error {
			var errs []error
			for _, query := range []string{"?top=0", "?top=1001", "?top=x", "?mailboxType=3"} {
				a, err := b.list(query)
				errs = append(errs, answers(a, err, http.StatusBadRequest))
			}
			return all(errs...)
		},
	},
	{
		name: "mailboxType 1 is user, 2 is shared", source: "Retrieve User or Shared Mailbox Details, Query Parameters: mailboxType", reads: true,
		client: func(b *env) error {
			if b.real != nil {
				for of, text := range map[enpower.MailboxType]string{enpower.User: "User mailbox", enpower.Shared: "Shared mailbox"} {
					page, err := b.first(enpower.Query{Type: of, PageSize: 10})
					for _, m := range page.Mailboxes {
						err = all(err, same("the type of "+m.ID, m.RecipientType, text))
					}
					if err != nil {
						return err
					}
				}
				return nil
			}
			users, err := b.walk(b.power(), enpower.Query{Type: enpower.User}, nil)
			shared, err2 := b.walk(b.power(), enpower.Query{Type: enpower.Shared}, nil)
			return all(err, err2, that(len(users.byID) >= 25, "%d users", len(users.byID)), same("shared", len(shared.byID), 4))
		},
		vendor: func(b *env) error {
			users, err := listed(b.list("?mailboxType=1&top=1000"))
			shared, err2 := listed(b.list("?mailboxType=2&top=1000"))
			return all(err, err2, that(len(users.Mailboxes) >= 25, "%d users", len(users.Mailboxes)), same("shared", len(shared.Mailboxes), 4), same("the type", shared.Mailboxes[0]["recipientType"], any("Shared mailbox")))
		},
	},
	{
		name: "resource mailboxes are rooms and equipment", source: "Retrieve Resource Mailbox Details, resourceMailboxType", reads: true,
		client: func(b *env) error {
			count := func(of enpower.MailboxType) (int, error) {
				page, err := b.first(enpower.Query{Type: of})
				return len(page.Mailboxes), err
			}
			rooms, err := count(enpower.Room)
			equipment, err2 := count(enpower.Equipment)
			both, err3 := count(enpower.Resource)
			if b.real != nil {
				return all(err, err2, err3)
			}
			return all(err, err2, err3, same("both", both, 3), same("rooms", rooms, 2), same("equipment", equipment, 1))
		},
		vendor: func(b *env) error {
			rooms, err := listed(b.resources("?resourceMailboxType=1"))
			equipment, err2 := listed(b.resources("?resourceMailboxType=2"))
			both, err3 := listed(b.resources(""))
			wrong, err4 := b.resources("?resourceMailboxType=3")
			return all(err, err2, err3, answers(wrong, err4, http.StatusBadRequest), same("both", len(both.ResourceMailboxes), 3), same("rooms", len(rooms.ResourceMailboxes), 2), same("equipment", len(equipment.ResourceMailboxes), 1))
		},
	},
	{
		name: "an unknown tenant is an empty list", source: "Retrieve User or Shared Mailbox Details, Query Parameters: tenant (not stated)",
		client: func(b *env) error {
			seen, err := b.walk(b.power(), enpower.Query{Tenant: "nowhere.example"}, nil)
			return all(err, same("mailboxes", len(seen.byID), 0))
		},
		vendor: func(b *env) error {
			l, err := listed(b.list("?tenant=nowhere.example"))
			return all(err, same("mailboxes", len(l.Mailboxes), 0), same("nextLink", l.NextLink, ""))
		},
	},
	{
		name: "nextLink may be absolute or relative", source: "Retrieve User or Shared Mailbox Details, Responses: nextLink (\"Reference to the next page\")",
		client: func(b *env) error {
			b.set("enpower.next-link", "relative")
			relative, err := b.walk(b.power(), enpower.Query{PageSize: 10}, nil)
			b.set("enpower.next-link", "absolute")
			absolute, err2 := b.walk(b.power(), enpower.Query{PageSize: 10}, nil)
			return all(err, err2, same("mailboxes", len(relative.byID), len(absolute.byID)), that(relative.pages > 2, "%d pages", relative.pages))
		},
		vendor: func(b *env) error {
			absolute, err := listed(b.list("?top=10"))
			b.set("enpower.next-link", "relative")
			relative, err2 := listed(b.list("?top=10"))
			return all(err, err2, that(strings.HasPrefix(absolute.NextLink, b.url+"/"), "%s", absolute.NextLink), that(strings.HasPrefix(relative.NextLink, "/"), "%s", relative.NextLink))
		},
	},
	{
		name: "HAZARD: a nextLink to another host gets no credential", source: "notes 6; guarantee G8",
		client: func(b *env) error {
			elsewhere, asked := b.elsewhere()
			_, err := b.walk(b.power(b.pages(`{"mailboxes":[],"totalCount":0,"nextLink":"`+elsewhere+`/smp/exchange/mailboxes?p=2"}`)), enpower.Query{}, nil)
			return all(wants(err, failure.Internal), same("requests elsewhere", asked.Load(), 0))
		},
		vendor: func(b *env) error {
			l, err := listed(b.list("?top=10"))
			return all(err, that(strings.HasPrefix(l.NextLink, b.url+"/enpower/"), "it leads to %s", l.NextLink))
		},
	},
	{
		name: "a nextLink that leads back is not followed for ever", source: "notes 6",
		client: func(b *env) error {
			var asked atomic.Int64
			circle := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				_, _ = fmt.Fprintf(w, `{"mailboxes":[],"nextLink":"%s?p=1"}`, r.URL.Path)
			}))
			defer circle.Close()
			_, err := b.walk(b.power(func(c *enpower.Config) { c.BaseURL = circle.URL }), enpower.Query{}, nil)
			return all(wants(err, failure.Internal), that(asked.Load() < 5, "%d requests", asked.Load()))
		},
		vendor: func(b *env) error {
			token, err := b.token("/enpower-identity/connect/token", powerClient, powerSecret, "enpower.data.read.all")
			one, err2 := listed(b.list("?top=10"))
			two, err3 := listed(b.send(http.MethodGet, one.NextLink, "", "Authorization", "Bearer "+token))
			return all(err, err2, err3, that(two.NextLink != one.NextLink, "it leads back"))
		},
	},
	{
		name: "totalCount ends no walk, whatever it counts", source: "Retrieve User or Shared Mailbox Details, Responses: totalCount (ambiguous)",
		client: func(b *env) error {
			b.set("enpower.total-count", "page")
			b.populate(50)
			seen, err := b.walk(b.power(), enpower.Query{PageSize: 20}, nil)
			return all(err, that(len(seen.byID) > 50, "%d mailboxes", len(seen.byID)))
		},
		vendor: func(b *env) error {
			collection, err := listed(b.list("?top=10"))
			b.set("enpower.total-count", "page")
			page, err2 := listed(b.list("?top=10"))
			return all(err, err2, that(collection.TotalCount > 10, "%d of the collection", collection.TotalCount), same("of the page", page.TotalCount, 10))
		},
	},
	{
		name: "a token that ends in mid-walk is replaced, and the page asked for again", source: "notes 6 (token life 3600 s)",
		client: func(b *env) error {
			b.populate(30)
			seen, err := b.walk(b.power(), enpower.Query{PageSize: 10}, func() { b.advance("61m") })
			asked, _ := b.calls("list-mailboxes")
			return all(err, that(len(seen.byID) > 30 && seen.twice == 0, "%d mailboxes, %d twice", len(seen.byID), seen.twice), same("calls", asked, 2*seen.pages-1))
		},
		vendor: func(b *env) error {
			token, err := b.token("/enpower-identity/connect/token", powerClient, powerSecret, "enpower.data.read.all")
			b.advance("61m")
			a, err2 := b.send(http.MethodGet, "/enpower/smp/exchange/mailboxes", "", "Authorization", "Bearer "+token)
			return all(err, answers(a, err2, http.StatusUnauthorized))
		},
	},
	{
		name: "the sample's odd shapes become typed values, or none", source: "Retrieve User or Shared Mailbox Details, Mailbox Details and sample (\"N/A\", \"\", null, \"500\", year 1)",
		client: func(b *env) error {
			seen, err := b.walk(b.power(), enpower.Query{}, nil)
			m, ok := seen.byID[sampleID]
			return all(err, that(ok, "the sample is not there"), that(m.RenewProfile == nil && m.ElectionProfile == nil && m.PhaseAssignees == nil && m.PrimaryContact == nil, "%+v", m),
				that(m.LastActivityDate == nil && m.LastRenewalTime == nil && m.RenewProfileApplied == nil, "%+v", m), same("recipientLimits", m.RecipientLimits, "500"),
				that(m.CreateTime != nil && m.CreateTime.Year() == 2024 && m.IssueWarningQuota != nil && *m.IssueWarningQuota == 100352, "%+v", m), same("what has no field", len(m.Extra), 0))
		},
		vendor: func(b *env) error {
			a, err := b.list("?top=1000")
			return answers(a, err, http.StatusOK, `"renewProfile": "N/A"`, `"phaseAssignees": ""`, `"recipientLimits": "500"`, `"lastActivityDate": "0001-01-01 00:00:00"`, `"renewProfileApplied": null`)
		},
	},
	{
		name: "fields that joined later are decoded", source: "repository page, August to December 2025",
		client: func(b *env) error {
			b.set("enpower.newer-fields", true)
			seen, err := b.walk(b.power(), enpower.Query{}, nil)
			for _, m := range seen.byID {
				if len(m.Extra) > 0 {
					return fmt.Errorf("%s has %v", m.ID, m.Extra)
				}
			}
			return err
		},
		vendor: func(b *env) error {
			before, err := b.list("")
			b.set("enpower.newer-fields", true)
			after, err2 := b.list("")
			return all(answers(after, err2, http.StatusOK, `"renewalDueDate"`), err, that(!strings.Contains(before.body, "renewalDueDate"), "it is there already"))
		},
	},
	{
		name: "the inventory lags behind until a scan", source: "Retrieve User or Shared Mailbox Details, firstScanTime (inferred)",
		client: func(b *env) error {
			before, err := b.walk(b.power(), enpower.Query{}, nil)
			if _, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser("scan@alpineskihouse.com", "BaseMail")); err != nil {
				return err
			}
			lagging, err2 := b.walk(b.power(), enpower.Query{}, nil)
			b.control(http.MethodPost, "scan", nil, nil)
			after, err3 := b.walk(b.power(), enpower.Query{}, nil)
			return all(err, err2, err3, same("before the scan", len(lagging.byID), len(before.byID)), same("after it", len(after.byID), len(before.byID)+1))
		},
		vendor: func(b *env) error {
			count := func() int {
				l, err := listed(b.list("?top=1"))
				if err != nil {
					b.Error(err)
				}
				return l.TotalCount
			}
			before := count()
			_, err := b.hostedClient().CreateBusinessUser(b.Context(), businessUser("scan@alpineskihouse.com", "BaseMail"))
			lagging := count()
			b.control(http.MethodPost, "scan", nil, nil)
			return all(err, same("before the scan", lagging, before), same("after it", count(), before+1))
		},
	},
	{
		name: "a token without the scope is refused, and so is a wrong secret", source: "Retrieve User or Shared Mailbox Details, Permission: enpower.data.read.all; App registration",
		client: func(b *env) error {
			_, scope := b.walk(b.power(func(c *enpower.Config) {
				c.ClientID, c.ClientSecret, c.Scope = "e0e0e0e0-0002-4000-8000-000000000002", secret.New("enpower-noscope-secret"), "opus.data.read.all"
			}), enpower.Query{}, nil)
			_, wrong := b.walk(b.power(func(c *enpower.Config) { c.ClientSecret = secret.New("wrong") }), enpower.Query{}, nil)
			return all(wants(scope, failure.Refused), refusedAs(wrong, failure.Unavailable, "invalid_client"), that(strings.Contains(failure.Of(wrong).Text, "clientSecret"), "%v names no setting", wrong))
		},
		vendor: func(b *env) error {
			a, err := b.send(http.MethodGet, "/enpower/smp/exchange/mailboxes", "")
			token, err2 := b.token("/enpower-identity/connect/token", "e0e0e0e0-0002-4000-8000-000000000002", "enpower-noscope-secret", "opus.data.read.all")
			scope, err3 := b.send(http.MethodGet, "/enpower/smp/exchange/mailboxes", "", "Authorization", "Bearer "+token)
			return all(answers(a, err, http.StatusUnauthorized), err2, answers(scope, err3, http.StatusForbidden))
		},
	},
	{
		name: "the token request is a form", source: "App registration, Client secret", reads: true,
		client: func(b *env) error {
			sent := &recordingTransport{}
			bounds := b.http()
			bounds.RoundTripper = sent
			err := b.power(func(c *enpower.Config) { c.HTTP = bounds }).Mailboxes(b.Context(), enpower.Query{PageSize: 1}, func(enpower.Page) error { return errEnough })
			return all(that(errors.Is(err, errEnough), "%v", err), that(len(sent.calls) == 2 && strings.HasPrefix(sent.calls[0], "POST application/x-www-form-urlencoded "), "%v", sent.calls))
		},
		vendor: func(b *env) error {
			a, err := b.send(http.MethodPost, "/enpower-identity/connect/token", `{"grant_type":"client_credentials"}`, "Content-Type", "application/json")
			return all(err, same("the status", a.status, http.StatusBadRequest), that(!strings.Contains(a.body, "access_token"), "%s", a.body))
		},
	},
	{
		name: "20,000 mailboxes come whole, in pages of 1,000", source: "Retrieve User or Shared Mailbox Details, Query Parameters: top",
		client: func(b *env) error {
			b.populate(20000)
			seen, err := b.walk(b.power(), enpower.Query{PageSize: 1000}, nil)
			return all(err, that(len(seen.byID) >= 20000 && seen.twice == 0, "%d mailboxes, %d twice", len(seen.byID), seen.twice))
		},
		vendor: func(b *env) error {
			b.populate(20000)
			l, err := listed(b.list("?top=1000"))
			return all(err, same("mailboxes of a page", len(l.Mailboxes), 1000), that(l.TotalCount >= 20000 && l.NextLink != "", "%d, nextLink %q", l.TotalCount, l.NextLink))
		},
	},
}

// million takes about a minute, so that it is not always asked for.
var million = fact{
	name: "a million mailboxes come whole, and the sandbox holds no page of them", source: "Retrieve User or Shared Mailbox Details, nextLink",
	client: func(b *env) error {
		b.populate(1_000_000)
		seen, pages := 0, 0
		err := b.power().Mailboxes(b.Context(), enpower.Query{PageSize: 1000}, func(p enpower.Page) error {
			seen, pages = seen+len(p.Mailboxes), pages+1
			return nil
		})
		return all(err, that(seen >= 1_000_000 && pages > 1000, "%d mailboxes on %d pages", seen, pages))
	},
	vendor: func(b *env) error { // after the client's walk: the process is the same
		peak, err := b.peak()
		b.Logf("the sandbox has taken %d MiB at most", peak)
		return all(err, that(peak < 128, "the sandbox has taken %d MiB", peak))
	},
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peak is the most memory that the sandbox has had at a time, in MiB (proc(5), VmHWM).
func (b *env) peak() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.sandbox.PID))
	if err != nil {
		return 0, err
	}
	m := highWater.FindSubmatch(status)
	if m == nil {
		return 0, errors.New("this system does not tell a process's peak memory")
	}
	kB, err := strconv.Atoi(string(m[1]))
	return kB >> 10, err
}
