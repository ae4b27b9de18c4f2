package web

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"html/template"
	"net/http"

	"github.com/mailwright/mailwright/pkg/secret"
	"github.com/mailwright/mailwright/services/console/internal/page"
)

// keyBytes is the length of the key of sessions.
const keyBytes = 64

// Local signs in one person, who may do everything: whoever has the token. It is for a console that
// listens on the loopback interface alone.
type Local struct {
	sessions
	token secret.String
	pages *template.Template
}

// SessionKey derives the key of sessions from a text.
func SessionKey(text string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(text), nil, "mailwright console sessions", keyBytes)
	if err != nil {
		panic(err) // only for more bytes than the hash can give
	}
	return key
}

// NewLocal derives the key of sessions from the token, so that they outlast a restart with the same
// token.
func NewLocal(token secret.String, secure bool) (*Local, error) {
	pages, err := template.New("").Funcs(page.Funcs).ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	return &Local{newSessions(SessionKey(token.Reveal()), secure), token, pages}, nil
}

// Link is the address that signs in.
func (l *Local) Link(base string) string { return base + signInPath + "?token=" + l.token.Reveal() }

// Routes implements [SignIn].
func (l *Local) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+signInPath, func(w http.ResponseWriter, r *http.Request) {
		if token := r.URL.Query().Get("token"); token != "" {
			l.signIn(w, r, token, r.URL.Query().Get("to"))
			return
		}
		l.door(w, http.StatusOK, "", r.URL.Query().Get("to"))
	})
	mux.HandleFunc("POST "+signInPath, func(w http.ResponseWriter, r *http.Request) {
		l.signIn(w, r, r.PostFormValue("token"), r.PostFormValue("to"))
	})
	mux.HandleFunc("POST /sign-out", l.signOut)
}

func (l *Local) signIn(w http.ResponseWriter, r *http.Request, token, to string) {
	if subtle.ConstantTimeCompare([]byte(token), []byte(l.token.Reveal())) != 1 {
		l.door(w, http.StatusForbidden, "This is not the token of this console. It has another one at each start, unless --token is set.", to)
		return
	}
	if err := l.begin(w, page.Person{Name: "local", Role: page.Administrator}); err != nil {
		http.Error(w, "The session could not be made.", http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, local(to), http.StatusSeeOther) //nolint:gosec // local keeps it within the console
}

type door struct{ Problem, Provider, To string }

func (l *Local) door(w http.ResponseWriter, status int, problem, to string) {
	show(w, l.pages, status, door{Problem: problem, To: local(to)})
}

// show writes the page on which people sign in.
func show(w http.ResponseWriter, pages *template.Template, status int, d door) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, "sign-in", d)
}
