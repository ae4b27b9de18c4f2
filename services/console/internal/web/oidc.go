package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

// OIDCFlags are the settings of signing in at a provider of OpenID Connect.
type OIDCFlags struct {
	Issuer         string            `help:"Issuer of OpenID Connect, such as https://login.example.com; without it there is one local user." placeholder:"URL"`
	ClientID       string            `help:"Client id of the console at the provider." placeholder:"ID"`
	ClientSecret   secret.String     `help:"Client secret, if the provider gave one."`
	Scopes         []string          `help:"Scopes to ask for beside openid." default:"profile,email,groups"`
	GroupsClaim    string            `help:"Claim that lists a person's groups." default:"groups"`
	Viewers        []string          `help:"Groups that may see." placeholder:"GROUP"`
	HelpDesk       []string          `help:"Groups that may also have what waits tried again." placeholder:"GROUP"`
	Operators      []string          `help:"Groups that may also send, cancel, replay and discard." placeholder:"GROUP"`
	Administrators []string          `help:"Groups that may do everything." placeholder:"GROUP"`
	TenantGroups   map[string]string `help:"Groups whose people are kept to tenants, GROUP=TENANT,TENANT. Who is in none of them sees every tenant." placeholder:"GROUP=TENANT"`
}

// Validate says which settings are missing.
func (f OIDCFlags) Validate() error {
	switch {
	case f.Issuer == "":
		return nil
	case f.ClientID == "":
		return errors.New("--oidc-issuer needs --oidc-client-id")
	case len(f.Viewers)+len(f.HelpDesk)+len(f.Operators)+len(f.Administrators) == 0:
		return errors.New("nobody could sign in: name groups by --oidc-viewers, --oidc-help-desk, --oidc-operators or --oidc-administrators")
	}
	return nil
}

// OpenID signs people in at a provider of OpenID Connect, by the authorization code flow with PKCE.
type OpenID struct {
	sessions
	flags OIDCFlags
	base  string // of the console, as people reach it
	log   *slog.Logger
	pages *template.Template

	mu       sync.Mutex
	provider *oidc.Provider // nil until the provider has answered once
}

const (
	startPath = signInPath + "/start"
	donePath  = signInPath + "/done"
	// pendingCookie keeps what the answer of the provider is checked against.
	pendingCookie = "mailwright-sign-in"
	pendingTime   = 10 * time.Minute
	// providerTimeout bounds what is asked of the provider.
	providerTimeout = 10 * time.Second
)

// NewOpenID makes the sign-in. base is where people reach the console, without a path; key is of 64
// bytes, or empty: then sessions end with the process.
func NewOpenID(f OIDCFlags, base string, key []byte, log *slog.Logger) (*OpenID, error) {
	if len(key) == 0 {
		key = make([]byte, keyBytes)
		_, _ = rand.Read(key) // never fails
	}
	if len(key) != keyBytes {
		return nil, fmt.Errorf("the key of sessions has %d bytes and needs %d", len(key), keyBytes)
	}
	pages, err := template.New("").Funcs(page.Funcs).ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	return &OpenID{sessions: newSessions(key, strings.HasPrefix(base, "https:")), flags: f, base: base, log: log, pages: pages}, nil
}

// Routes implements [SignIn].
func (o *OpenID) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+signInPath, func(w http.ResponseWriter, r *http.Request) {
		o.door(w, http.StatusOK, "", r.URL.Query().Get("to"))
	})
	mux.HandleFunc("GET "+startPath, o.start)
	mux.HandleFunc("GET "+donePath, o.done)
	mux.HandleFunc("POST /sign-out", o.signOut)
}

// pending is what the answer of the provider is checked against.
type pending struct{ State, Nonce, Verifier, To string }

// connect finds the provider's endpoints out, once.
func (o *OpenID) connect() (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider != nil {
		return o.provider, nil
	}
	// The provider keeps the client of this context for the keys that it reads later.
	ctx := oidc.ClientContext(context.Background(), &http.Client{Timeout: providerTimeout})
	provider, err := oidc.NewProvider(ctx, o.flags.Issuer)
	if err != nil {
		return nil, err
	}
	o.provider = provider
	return provider, nil
}

func (o *OpenID) client(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: o.flags.ClientID, ClientSecret: o.flags.ClientSecret.Reveal(), Endpoint: p.Endpoint(), RedirectURL: o.base + donePath,
		Scopes: slices.Concat([]string{oidc.ScopeOpenID}, o.flags.Scopes),
	}
}

// start leads a person to the provider.
func (o *OpenID) start(w http.ResponseWriter, r *http.Request) {
	to := local(r.URL.Query().Get("to"))
	provider, err := o.connect()
	if err != nil {
		o.refuse(w, http.StatusBadGateway, "The provider does not answer. Try again.", to, err)
		return
	}
	p := pending{rand.Text(), rand.Text(), oauth2.GenerateVerifier(), to}
	if err := o.put(w, pendingCookie, p, pendingTime); err != nil {
		o.refuse(w, http.StatusInternalServerError, "Signing in failed; the log says why.", to, err)
		return
	}
	http.Redirect(w, r, o.client(provider).AuthCodeURL(p.State, oidc.Nonce(p.Nonce), oauth2.S256ChallengeOption(p.Verifier)), http.StatusSeeOther)
}

// done takes a person from the provider.
func (o *OpenID) done(w http.ResponseWriter, r *http.Request) {
	var p pending
	if !o.read(r, pendingCookie, &p) || p.State != r.URL.Query().Get("state") {
		o.refuse(w, http.StatusBadRequest, "This sign-in is not one that this browser began, or it took too long. Begin again.", "/", nil)
		return
	}
	o.drop(w, pendingCookie)
	if reason := r.URL.Query().Get("error"); reason != "" {
		o.refuse(w, http.StatusForbidden, "The provider did not sign you in.", p.To, errors.New(reason))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), providerTimeout)
	defer cancel()
	person, err := o.identify(ctx, r.URL.Query().Get("code"), p)
	if err != nil {
		o.refuse(w, http.StatusBadGateway, "The provider's answer could not be checked; the log says why.", p.To, err)
		return
	}
	if person.Role == page.Nobody {
		o.refuse(w, http.StatusForbidden, "You are "+person.Name+", and none of your groups has a role here. Ask whoever runs this console.", p.To, nil)
		return
	}
	if err := o.begin(w, person); err != nil {
		o.refuse(w, http.StatusInternalServerError, "The session could not be made; the log says why.", p.To, err)
		return
	}
	o.log.Info("signed in", "person", person.Name, "role", person.Role.String())
	http.Redirect(w, r, p.To, http.StatusSeeOther)
}

// identify exchanges the code for an id token, and checks it.
func (o *OpenID) identify(ctx context.Context, code string, p pending) (page.Person, error) {
	provider, err := o.connect()
	if err != nil {
		return page.Person{}, err
	}
	token, err := o.client(provider).Exchange(ctx, code, oauth2.VerifierOption(p.Verifier))
	if err != nil {
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
			return page.Person{}, fmt.Errorf("the provider refused the code: %s", refused.ErrorCode) // its body may quote the request
		}
		return page.Person{}, err
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return page.Person{}, errors.New("the provider's answer has no id token")
	}
	checked, err := provider.Verifier(&oidc.Config{ClientID: o.flags.ClientID}).Verify(ctx, raw)
	if err != nil {
		return page.Person{}, err
	}
	if checked.Nonce != p.Nonce {
		return page.Person{}, errors.New("the id token is of another sign-in: its nonce differs")
	}
	claims := map[string]any{}
	if err := checked.Claims(&claims); err != nil {
		return page.Person{}, err
	}
	if _, has := claims[o.flags.GroupsClaim]; !has { // some providers tell the groups there alone
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err == nil && info.Subject == checked.Subject {
			_ = info.Claims(&claims)
		}
	}
	return o.flags.person(checked.Subject, claims), nil
}

// person gives the name, role and tenants of somebody by the claims of the provider.
func (f OIDCFlags) person(subject string, claims map[string]any) page.Person {
	p := page.Person{Name: subject}
	for _, claim := range []string{"preferred_username", "email", "name"} {
		if name, _ := claims[claim].(string); name != "" {
			p.Name = name
			break
		}
	}
	groups := texts(claims[f.GroupsClaim])
	for _, each := range []struct {
		role   page.Role
		groups []string
	}{{page.Viewer, f.Viewers}, {page.HelpDesk, f.HelpDesk}, {page.Operator, f.Operators}, {page.Administrator, f.Administrators}} {
		if slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(each.groups, g) }) {
			p.Role = each.role
		}
	}
	for _, g := range groups {
		if tenants, kept := f.TenantGroups[g]; kept {
			p.Tenants = append(p.Tenants, strings.Split(tenants, ",")...)
		}
	}
	slices.Sort(p.Tenants)
	p.Tenants = slices.Compact(p.Tenants)
	return p
}

// texts reads a claim that is a text or a list of them.
func texts(claim any) []string {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, each := range v {
			if text, ok := each.(string); ok {
				list = append(list, text)
			}
		}
		return list
	}
	return nil
}

// refuse shows the door with what is wrong. The cause is logged, and not shown.
func (o *OpenID) refuse(w http.ResponseWriter, status int, problem, to string, cause error) {
	if cause != nil {
		o.log.Warn("signing in failed", "error", cause)
	}
	o.door(w, status, problem, to)
}

func (o *OpenID) door(w http.ResponseWriter, status int, problem, to string) {
	name := o.flags.Issuer
	if u, err := url.Parse(name); err == nil && u.Host != "" {
		name = u.Host
	}
	show(w, o.pages, status, door{Problem: problem, Provider: name, To: local(to)})
}
