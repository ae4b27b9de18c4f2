// Package page is what a page of the console is: its data, its templates, who may see it, what can
// be done on it, and which of its parts change while it is open.
//
// A page is a value. Its package has a function New that takes the [Source] and returns the Page;
// services/console/main.go lists the pages in the order of the navigation. The frame (package web)
// does the rest: routes, roles, the layout, sharing one reading among all who look, and live parts.
package page

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"time"
)

// Page is one page.
type Page struct {
	// Path is its route, as net/http writes patterns, without a method: "/operations/{id}".
	Path string
	// Title stands in the browser's tab and, with every page, in its only h1. A page whose data
	// have a method Title() string is titled by that.
	Title string
	// Nav is its label in the navigation; "" keeps it out. Under is the Path of the page whose
	// label is marked as the current one where Nav is "".
	Nav, Under string
	// Least is the role that may see it; the zero value is [Viewer].
	Least Role

	// Templates hold one file of html/template at least. One defines "main": what stands below the
	// title. The functions of [Funcs] are there, and the icons and parts of the frame.
	Templates fs.FS

	// Load reads what the page shows. Its result goes to the templates. It must depend on nothing
	// but the request and what it reads: the result is shared by all who may see the same tenants
	// with the same role. An [Error] is shown to the person; any other is logged.
	Load func(context.Context, *Request) (any, error)

	// Live names templates of the page. "main" holds each within an element whose id is the
	// name, as in <section id="counts">{{template "counts" .}}</section>. While the page is
	// open they are replaced as they change.
	Live []string
	// Every is how often a live page is read again at most; 0 is 2 s. The page is not read again
	// while no projection has moved, unless Always.
	Every  time.Duration
	Always bool

	Actions []Action
	// Files are what a page offers beside itself, such as an export.
	Files []File
}

// Action is something that a person does, by a form of method POST.
type Action struct {
	// Path is its route, such as "/dead/{sequence}/replay".
	Path string
	// Least is the role that may do it; the zero value is [Operator].
	Least Role
	// Do carries it out. It must check that the person may see the tenant (Request.Person.Sees).
	Do func(context.Context, *Request) (Done, error)
}

// Done is where a person is led after an action, and what is said there.
type Done struct {
	// To is a path of the console, with its query.
	To string
	// Notice is one sentence, such as "3 dead letters replayed."
	Notice string
}

// File is an answer that is no page.
type File struct {
	Path string
	// Method is GET where it is empty. One of method POST changes nothing; its form is too long for
	// an address, or must not stand in one.
	Method string
	Least  Role
	Serve  func(http.ResponseWriter, *http.Request, *Request) error
}

// Request is what a page is asked for.
type Request struct {
	Person Person
	// Query are the parameters of the URL; of an action, Form are those of its body.
	Query, Form url.Values
	// Path is the path asked for, and Value gives what stood in the place of a name in its pattern.
	Path  string
	Value func(name string) string
}

// Tenants is the argument of a query that keeps to what the person may see: nil for everything. Use
// it as ($1::text[] IS NULL OR tenant = ANY ($1)).
func (r *Request) Tenants() []string { return r.Person.Tenants }

// With is the page's own address with parameters of the query changed: name, value, name, value. An
// empty value takes a parameter out.
func (r *Request) With(pairs ...string) string {
	q := url.Values{}
	for name, values := range r.Query {
		q[name] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Del(pairs[i])
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return r.Path
	}
	return r.Path + "?" + q.Encode()
}

// Error is fit to be shown to a person.
type Error struct {
	// Status is of HTTP.
	Status int
	// Text says in a sentence what is wrong and what helps.
	Text string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// NotFound says that something is not there, or is not the person's to see.
func NotFound(format string, a ...any) error {
	return &Error{http.StatusNotFound, fmt.Sprintf(format, a...)}
}

// Invalid says what is wrong with what a person wrote, by the field's name.
func Invalid(format string, a ...any) error {
	return &Error{http.StatusUnprocessableEntity, fmt.Sprintf(format, a...)}
}

// Forbidden says what a person lacks.
func Forbidden(format string, a ...any) error {
	return &Error{http.StatusForbidden, fmt.Sprintf(format, a...)}
}

// Unavailable says what does not answer.
func Unavailable(format string, a ...any) error {
	return &Error{http.StatusServiceUnavailable, fmt.Sprintf(format, a...)}
}

// Explain gives the error that a person may see, if err is one.
func Explain(err error) (*Error, bool) { return errors.AsType[*Error](err) }
