package web

import (
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

const (
	sessionCookie = "mailwright-session"
	// sessionTime is how long a person stays signed in.
	sessionTime = 8 * time.Hour
)

// sessions keep who has signed in, in a cookie that is encrypted and authenticated.
type sessions struct {
	codec  *securecookie.SecureCookie
	secure bool
}

// session is what the cookie holds.
type session struct {
	Name    string
	Role    page.Role
	All     bool // every tenant
	Tenants []string
}

// newSessions takes a key of 64 bytes: 32 authenticate, 32 encrypt.
func newSessions(key []byte, secure bool) sessions {
	codec := securecookie.New(key[:32], key[32:64])
	codec.SetSerializer(securecookie.JSONEncoder{})
	codec.MaxAge(int(sessionTime.Seconds()))
	return sessions{codec, secure}
}

// cookieName has the prefix by which browsers take the cookie from this very host by https alone.
func (s sessions) cookieName(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return name
}

func (s sessions) begin(w http.ResponseWriter, p page.Person) error {
	return s.put(w, sessionCookie, session{p.Name, p.Role, p.Tenants == nil, p.Tenants}, sessionTime)
}

func (s sessions) put(w http.ResponseWriter, name string, value any, keep time.Duration) error {
	text, err := s.codec.Encode(name, value)
	if err != nil {
		return err
	}
	http.SetCookie(w, s.cookie(name, text, int(keep.Seconds())))
	return nil
}

func (s sessions) cookie(name, text string, seconds int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever people come by https
		Name: s.cookieName(name), Value: text, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	}
}

func (s sessions) drop(w http.ResponseWriter, name string) { http.SetCookie(w, s.cookie(name, "", -1)) }

func (s sessions) read(r *http.Request, name string, value any) bool {
	c, err := r.Cookie(s.cookieName(name))
	return err == nil && s.codec.Decode(name, c.Value, value) == nil
}

// Person implements [SignIn].
func (s sessions) Person(r *http.Request) (page.Person, bool) {
	var v session
	if !s.read(r, sessionCookie, &v) {
		return page.Person{}, false
	}
	p := page.Person{Name: v.Name, Role: v.Role}
	if !v.All {
		p.Tenants = slices.Concat([]string{}, v.Tenants) // never nil: that means every tenant
	}
	return p, true
}

// signOut ends the session of this browser.
func (s sessions) signOut(w http.ResponseWriter, r *http.Request) {
	s.drop(w, sessionCookie)
	http.Redirect(w, r, signInPath, http.StatusSeeOther)
}

// Path implements [SignIn].
func (s sessions) Path() string { return signInPath }

const signInPath = "/sign-in"
