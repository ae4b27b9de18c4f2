// Package web is the frame of the console: routes, who may see what, the layout, and live
// parts. The pages stand below console/internal/pages.
package web

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed assets
var assets embed.FS

// Options say what the console is made of.
type Options struct {
	Pages  []page.Page
	Source page.Source
	SignIn SignIn
	// Secure says that people reach the console by https alone.
	Secure bool
	Log    *slog.Logger
}

// SignIn tells who asks.
type SignIn interface {
	// Routes adds where people sign in.
	Routes(*http.ServeMux)
	// Person tells who asks; false: nobody has signed in.
	Person(*http.Request) (page.Person, bool)
	// Path is where people are led that have not signed in.
	Path() string
}

// Server is the console.
type Server struct {
	opts    Options
	health  *health
	hub     *hub
	layout  *layout
	handler http.Handler
}

// New makes the console. Call [Server.Run] for its live parts. The error is a mistake in a page.
func New(o Options) (*Server, error) {
	s := &Server{opts: o, health: newHealth(o.Source)}
	s.hub = newHub(s.health, o.Log)
	var err error
	if s.layout, err = newLayout(o.Pages); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	static, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", cached(http.FileServerFS(static))))
	o.SignIn.Routes(mux)
	mux.HandleFunc("POST /theme", s.setTheme)
	for i := range o.Pages {
		if err := s.add(mux, &o.Pages[i]); err != nil {
			return nil, fmt.Errorf("page %s: %w", o.Pages[i].Path, err)
		}
	}
	mux.HandleFunc("/", s.signedIn(page.Viewer, func(w http.ResponseWriter, r *http.Request, person page.Person) {
		s.fail(w, r, person, page.NotFound("There is no page %s.", r.URL.Path))
	}))
	s.handler = s.protect(mux)
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Run keeps the live parts up to date until ctx ends.
func (s *Server) Run(ctx context.Context) { s.hub.run(ctx) }

// Check is what readiness waits for: the templates and routes are there from the start, and what
// is away is said on the pages. So it always passes.
func (s *Server) Check(context.Context) error { return nil }

func (s *Server) add(mux *http.ServeMux, p *page.Page) error {
	v, err := s.layout.view(p)
	if err != nil {
		return err
	}
	pattern := p.Path
	if pattern == "/" {
		pattern = "/{$}"
	}
	mux.HandleFunc("GET "+pattern, s.signedIn(max(p.Least, page.Viewer), func(w http.ResponseWriter, r *http.Request, who page.Person) {
		s.show(w, r, v, who)
	}))
	for _, a := range p.Actions {
		least := a.Least
		if least == page.Nobody {
			least = page.Operator
		}
		mux.HandleFunc("POST "+a.Path, s.signedIn(least, func(w http.ResponseWriter, r *http.Request, who page.Person) {
			s.act(w, r, a, who)
		}))
	}
	for _, f := range p.Files {
		mux.HandleFunc(cmp.Or(f.Method, http.MethodGet)+" "+f.Path, s.signedIn(max(f.Least, page.Viewer), func(w http.ResponseWriter, r *http.Request, who page.Person) {
			if err := f.Serve(w, r, request(r, who)); err != nil {
				s.fail(w, r, who, err)
			}
		}))
	}
	return nil
}

// signedIn lets a handler see only who has a role, and leads everybody else to sign in.
func (s *Server) signedIn(least page.Role, next func(http.ResponseWriter, *http.Request, page.Person)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		person, ok := s.opts.SignIn.Person(r)
		switch {
		case ok && person.May(least):
			next(w, r, person)
		case ok:
			s.fail(w, r, person, page.Forbidden("This needs the role %s; you are signed in as %s with the role %s.", least, person.Name, person.Role))
		case r.Method == http.MethodGet && r.Header.Get("Accept") != eventStream:
			http.Redirect(w, r, s.opts.SignIn.Path()+"?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		default:
			http.Error(w, "Sign in first.", http.StatusUnauthorized)
		}
	}
}

// loadTimeout bounds what a page reads.
const loadTimeout = 5 * time.Second

func (s *Server) show(w http.ResponseWriter, r *http.Request, v *view, who page.Person) {
	if len(v.page.Live) == 0 {
		ctx, cancel := context.WithTimeout(r.Context(), loadTimeout)
		defer cancel()
		shown, err := v.load(ctx, request(r, who))
		if err != nil {
			s.fail(w, r, who, err)
			return
		}
		s.write(w, r, who, http.StatusOK, shown)
		return
	}
	t := s.hub.topic(v, request(r, who))
	if r.Header.Get("Accept") == eventStream {
		s.hub.stream(w, r, t)
		return
	}
	shown, err := t.latest(r.Context())
	if shown == nil {
		s.fail(w, r, who, err)
		return
	}
	s.write(w, r, who, http.StatusOK, shown)
}

// maxForm is the size of a form that an action takes, in bytes.
const maxForm = 1 << 20

func (s *Server) act(w http.ResponseWriter, r *http.Request, a page.Action, who page.Person) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, who, page.Invalid("The form cannot be read: it has at most %d bytes.", maxForm))
		return
	}
	req := request(r, who)
	req.Form = r.PostForm
	done, err := a.Do(r.Context(), req)
	if err != nil {
		s.fail(w, r, who, err)
		return
	}
	s.opts.Log.Info("acted", "person", who.Name, "action", r.URL.Path)
	s.notify(w, done.Notice)
	http.Redirect(w, r, local(done.To), http.StatusSeeOther)
}

// fail answers with an error. What is no [page.Error] is logged and not shown.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, who page.Person, err error) {
	told, ok := page.Explain(err)
	if !ok {
		told = s.health.explain(err)
		if !errors.Is(err, context.Canceled) {
			s.opts.Log.Error("a page failed", "path", r.URL.Path, "error", err)
		}
	}
	if r.Header.Get("Accept") == eventStream {
		http.Error(w, told.Text, told.Status)
		return
	}
	s.write(w, r, who, told.Status, s.layout.problem(told))
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, who page.Person, status int, shown *shown) {
	html, err := s.layout.render(frame{
		shown: *shown, Person: who, Theme: theme(r), Notice: s.notice(w, r), Path: r.URL.Path, Problems: s.health.problems(),
	})
	if err != nil {
		s.opts.Log.Error("the layout failed", "error", err)
		http.Error(w, "The page cannot be shown; the log says why.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept, Cookie")
	w.WriteHeader(status)
	_, _ = w.Write(html)
}

func request(r *http.Request, who page.Person) *page.Request {
	return &page.Request{Person: who, Query: r.URL.Query(), Path: r.URL.Path, Value: r.PathValue}
}
