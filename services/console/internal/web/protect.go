package web

import (
	"net/http"
	"net/url"
	"strings"
)

// policy lets a page load what the console itself serves, and nothing inline.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// protect refuses requests that another site's page has a browser send, and sets the headers that
// browsers protect a page by.
func (s *Server) protect(next http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if s.opts.Secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	}))
}

// cached has browsers keep assets for an hour.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		next.ServeHTTP(w, r)
	})
}

// local is a path of the console, and "/" for anything else: a form must not lead elsewhere.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n") {
		return "/"
	}
	return to
}

const (
	themeCookie  = "mailwright-theme"
	noticeCookie = "mailwright-notice"
	yearSeconds  = 365 * 24 * 3600
	// noticeSeconds is how long a notice waits for the next page.
	noticeSeconds = 60
)

// theme is light or dark as the person chose, and "" where the browser's preference counts.
func theme(r *http.Request) string {
	c, err := r.Cookie(themeCookie)
	if err == nil && (c.Value == "light" || c.Value == "dark") {
		return c.Value
	}
	return ""
}

func (s *Server) setTheme(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever people come by https
		Name: themeCookie, Value: r.PostFormValue("theme"), Path: "/", MaxAge: yearSeconds, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: s.opts.Secure,
	})
	http.Redirect(w, r, local(r.PostFormValue("to")), http.StatusSeeOther) //nolint:gosec // local keeps it within the console
}

// notify has the next page say something once.
func (s *Server) notify(w http.ResponseWriter, text string) {
	if text != "" {
		http.SetCookie(w, s.noticeCookie(url.QueryEscape(text), noticeSeconds))
	}
}

func (s *Server) noticeCookie(text string, seconds int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever people come by https
		Name: noticeCookie, Value: text, Path: "/", MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.opts.Secure,
	}
}

func (s *Server) notice(w http.ResponseWriter, r *http.Request) string {
	c, err := r.Cookie(noticeCookie)
	if err != nil {
		return ""
	}
	http.SetCookie(w, s.noticeCookie("", -1))
	text, _ := url.QueryUnescape(c.Value)
	return text
}
