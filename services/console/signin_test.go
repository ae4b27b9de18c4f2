package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/mailwright/mailwright/pkg/testkit/child"
	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

// accounts are the users of the provider, with their groups. Each has its own name as password.
var accounts = map[string][]string{
	"vera": {"mail-viewers"}, "hans": {"mail-helpdesk"}, "olga": {"mail-operators"}, "adam": {"mail-admins"},
	"nora": {"accounting"},                      // no role
	"kate": {"mail-operators", "only-fabrikam"}, // kept to a tenant
}

// store is the provider's storage: that of its own example, with groups.
type store struct{ *storage.Storage }

// SetUserinfoFromToken adds the groups. The provider tells them at its userinfo endpoint alone.
func (s store) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, token, subject, origin string) error {
	err := s.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin)
	info.AppendClaims("groups", accounts[subject])
	return err
}

// users implements storage.UserStore.
type users struct{}

func (users) GetUserByID(id string) *storage.User {
	if _, known := accounts[id]; !known {
		return nil
	}
	return &storage.User{ID: id, Username: id, Password: id, Email: id + "@example.com", EmailVerified: true}
}
func (u users) GetUserByUsername(name string) *storage.User { return u.GetUserByID(name) }
func (users) ExampleClientID() string                       { return "service" }

// provider starts a provider of OpenID Connect (zitadel/oidc) for a console at an address.
func provider(t *testing.T, console string) (issuer string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	issuer = "http://" + server.Listener.Addr().String()
	storage.RegisterClients(storage.WebClient("console", "console-secret", console+"/sign-in/done"))
	server.Config.Handler = exampleop.SetupServer(issuer, store{storage.NewStorage(users{})}, slog.New(slog.DiscardHandler), false, op.WithAllowInsecure())
	server.Start()
	t.Cleanup(server.Close)
	return issuer
}

// openConsole starts a second console of the running system, by its own settings, and gives its
// address.
func openConsole(t *testing.T, env func(base string) []string) string {
	t.Helper()
	port := func() string {
		l, err := stack.ListenFree()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		return l.Addr().String()
	}
	listen, health := port(), port()
	base := "http://" + listen
	cmd := exec.Command(filepath.Join(binaries, "console"), "--listen", listen, "--http", health)
	cmd.Env = append(os.Environ(), append(running.IdentityEnv("console"), "MAILWRIGHT_NATS_URL="+running.Endpoints.NATS, "MAILWRIGHT_DATABASE_URL="+running.Endpoints.Postgres)...)
	cmd.Env = append(cmd.Env, env(base)...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	ended, err := child.Start(cmd, syscall.SIGTERM)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
		if strings.Contains(log.String(), "console-secret") {
			t.Error("the log holds the client secret")
		}
		if t.Failed() {
			t.Logf("the console's log:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if c, err := net.Dial("tcp", listen); err == nil {
			_ = c.Close()
			return base
		}
		if time.Now().After(deadline) {
			t.Fatalf("the console does not listen:\n%s", log.String())
		}
	}
}

var loginID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// signIn signs a person in as a browser does, and gives the client with the session. The answer is
// that of the console at the end.
func signIn(t *testing.T, base, issuer, name string) (*http.Client, int, string) {
	t.Helper()
	browser := &http.Client{Jar: newJar(t), Timeout: 10 * time.Second}
	status, form := get(t, browser, base+"/sign-in/start?to=/system")
	id := loginID.FindStringSubmatch(form)
	if id == nil {
		t.Fatalf("no form of the provider: %d %s", status, form)
	}
	res, err := browser.PostForm(issuer+"/login/username", url.Values{"id": {id[1]}, "username": {name}, "password": {name}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	return browser, res.StatusCode, string(body)
}

func newJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func openOIDC(t *testing.T) (base, issuer string) {
	t.Helper()
	base = openConsole(t, func(base string) []string {
		issuer = provider(t, base)
		return []string{
			"MAILWRIGHT_OIDC_ISSUER=" + issuer, "MAILWRIGHT_OIDC_CLIENT_ID=console", "MAILWRIGHT_OIDC_CLIENT_SECRET=console-secret",
			"MAILWRIGHT_OIDC_VIEWERS=mail-viewers", "MAILWRIGHT_OIDC_HELP_DESK=mail-helpdesk", "MAILWRIGHT_OIDC_OPERATORS=mail-operators",
			"MAILWRIGHT_OIDC_ADMINISTRATORS=mail-admins", "MAILWRIGHT_OIDC_TENANT_GROUPS=only-fabrikam=fabrikam",
		}
	})
	return base, issuer
}

// TestRolesAndRoutes signs people of each role in at a real provider, and asks for every route.
func TestRolesAndRoutes(t *testing.T) {
	base, issuer := openOIDC(t)
	roles := map[string]page.Role{"vera": page.Viewer, "hans": page.HelpDesk, "olga": page.Operator, "adam": page.Administrator}
	for name, role := range roles {
		browser, status, body := signIn(t, base, issuer, name)
		if status != http.StatusOK || !strings.Contains(body, name) || !strings.Contains(body, role.String()) || !strings.Contains(body, "<h1>System</h1>") {
			t.Fatalf("%s is not signed in as %s and led where they wanted: %d\n%s", name, role, status, body)
		}
		for _, route := range routes() {
			req, err := http.NewRequestWithContext(t.Context(), route.method, base+route.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := browser.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if refused := res.StatusCode == http.StatusForbidden; refused != (role < route.least) {
				t.Errorf("%s, %s: %s %s: %d", name, role, route.method, route.path, res.StatusCode)
			}
		}
	}
	for _, route := range routes() { // whoever has not signed in
		req, err := http.NewRequestWithContext(t.Context(), route.method, base+route.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		led := res.StatusCode == http.StatusSeeOther && strings.HasPrefix(res.Header.Get("Location"), "/sign-in?to=")
		if !led && res.StatusCode != http.StatusUnauthorized {
			t.Errorf("nobody: %s %s: %d", route.method, route.path, res.StatusCode)
		}
	}
}

type route struct {
	method, path string
	least        page.Role
}

var placeholder = regexp.MustCompile(`\{[^}]+\}`)

// routes are all of the pages', with something in the place of each name.
func routes() []route {
	var list []route
	add := func(method, pattern string, least, usual page.Role) {
		if least == page.Nobody {
			least = usual
		}
		list = append(list, route{method, placeholder.ReplaceAllString(pattern, "x"), least})
	}
	for _, p := range pages(page.Source{}, &config{}, nil) {
		add(http.MethodGet, p.Path, p.Least, page.Viewer)
		for _, a := range p.Actions {
			add(http.MethodPost, a.Path, a.Least, page.Operator)
		}
		for _, f := range p.Files {
			add(cmp.Or(f.Method, http.MethodGet), f.Path, f.Least, page.Viewer)
		}
	}
	return list
}

// TestWhoHasNoRoleSeesNothing refuses somebody whom the provider knows and no group names.
func TestWhoHasNoRoleSeesNothing(t *testing.T) {
	base, issuer := openOIDC(t)
	browser, status, body := signIn(t, base, issuer, "nora")
	if status != http.StatusForbidden || !strings.Contains(body, "none of your groups has a role here") {
		t.Errorf("%d %s", status, body)
	}
	if _, body := get(t, browser, base+"/operations"); strings.Contains(body, "Anna Berg") {
		t.Error("sees operations all the same")
	}
}

// TestATenantsPeopleSeeThatTenantAlone keeps somebody to a tenant that has nothing: no page may
// show a row of the other one, and no action may reach it.
func TestATenantsPeopleSeeThatTenantAlone(t *testing.T) {
	base, issuer := openOIDC(t)
	browser, _, _ := signIn(t, base, issuer, "kate")
	for _, v := range visits {
		if v.name == "delegates-remove" {
			continue
		}
		_, body := get(t, browser, base+v.path)
		path, _, _ := strings.Cut(v.path, "?")
		for _, theirs := range []string{"Anna Berg", "Refused Dietz", "Not Yet", "Alex Wilber", "Megan Bowen", "delegate1@contoso.com", "adaxes refused"} {
			asked := path == "/attention/group" && theirs == "adaxes refused" // its title says what its address asks for
			if strings.Contains(body, theirs) && !asked {
				t.Errorf("%s shows %s", v.path, theirs)
			}
		}
	}
	if _, body := get(t, browser, base+"/inventory.csv"); strings.Count(body, "\n") != 1 {
		t.Errorf("the export has rows:\n%s", body)
	}
	for path, form := range map[string]url.Values{
		"/inventory/sync":   {"tenant": {"contoso"}, "reason": {"none"}},
		"/delegates/remove": {"tenant": {"contoso"}, "mailbox": {"alex@contoso.com"}, "delegate": {"delegate1@contoso.com"}, "id": {"kate-1"}, "reason": {"none"}},
	} {
		res, err := browser.PostForm(base+path, form)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s of another tenant: %d", path, res.StatusCode)
		}
	}
}

// TestProtections looks at what keeps a session safe.
func TestProtections(t *testing.T) {
	base, issuer := openOIDC(t)
	browser, _, _ := signIn(t, base, issuer, "olga")
	t.Run("another site's form", func(t *testing.T) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/inventory/sync", strings.NewReader("tenant=contoso"))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Error(res.Status)
		}
	})
	t.Run("headers", func(t *testing.T) {
		res, err := browser.Get(base + "/operations")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if !strings.Contains(res.Header.Get(name), want) {
				t.Errorf("%s: %q", name, res.Header.Get(name))
			}
		}
		if p := res.Header.Get("Content-Security-Policy"); strings.Contains(p, "unsafe") || !strings.Contains(p, "frame-ancestors 'none'") {
			t.Error(p)
		}
	})
	t.Run("a changed cookie", func(t *testing.T) {
		at, _ := url.Parse(base)
		for _, c := range browser.Jar.Cookies(at) {
			if c.Name == "mailwright-session" {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/operations", nil)
				changed := []byte(c.Value)
				changed[len(changed)/2] ^= 1
				req.AddCookie(&http.Cookie{Name: c.Name, Value: string(changed)})
				res, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusSeeOther {
					t.Error(res.Status)
				}
				return
			}
		}
		t.Error("there is no session")
	})
	t.Run("an answer that nobody asked for", func(t *testing.T) {
		if status, _ := get(t, &http.Client{}, base+"/sign-in/done?state=x&code=y"); status != http.StatusBadRequest {
			t.Error(status)
		}
	})
	t.Run("elsewhere", func(t *testing.T) {
		for _, to := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "javascript:alert(1)"} {
			_, body := get(t, browser, base+"/sign-in?to="+url.QueryEscape(to))
			if strings.Contains(body, "evil") || strings.Contains(body, "alert") {
				t.Errorf("%s stays in the page", to)
			}
		}
	})
	t.Run("after signing out", func(t *testing.T) {
		res, err := browser.PostForm(base+"/sign-out", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if _, body := get(t, browser, base+"/operations"); strings.Contains(body, "Anna Berg") {
			t.Error("still signed in")
		}
	})
}
