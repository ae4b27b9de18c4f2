package web

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

//go:embed templates
var templates embed.FS

// layout is what stands around each page.
type layout struct {
	base *template.Template // layout and parts, never executed: it is cloned for each page
	page *template.Template
	nav  []navItem
}

type navItem struct{ Path, Label string }

// view is a page with its templates.
type view struct {
	page *page.Page
	main *template.Template
}

// shown is a page as it was at a time: HTML without the layout.
type shown struct {
	Title   string
	Current string // path of the label in the navigation
	Main    template.HTML
	At      time.Time
	Live    bool
	// Stale says why it could not be read again since; "" while it is up to date.
	Stale string
	parts map[string]string // of Live, by name
}

// frame is what the layout needs.
type frame struct {
	shown
	Person   page.Person
	Theme    string
	Notice   string
	Path     string
	Problems []problem
	Nav      []navItem
	Operator bool
}

func newLayout(pages []page.Page) (*layout, error) {
	base, err := template.New("").Funcs(page.Funcs).ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, err
	}
	l := &layout{base: base}
	if l.page, err = base.Clone(); err != nil {
		return nil, err
	}
	for _, p := range pages {
		if p.Nav != "" {
			l.nav = append(l.nav, navItem{p.Path, p.Nav})
		}
	}
	return l, nil
}

// view parses a page's templates. Its error names the template that is missing.
func (l *layout) view(p *page.Page) (*view, error) {
	t, err := l.base.Clone()
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(p.Templates, "*.html")
	if err != nil {
		return nil, err
	}
	if t, err = t.ParseFS(p.Templates, files...); err != nil {
		return nil, err
	}
	for _, name := range append([]string{"main"}, p.Live...) {
		if t.Lookup(name) == nil {
			return nil, fmt.Errorf("has no template %q", name)
		}
	}
	return &view{p, t}, nil
}

// load reads a page and renders it.
func (v *view) load(ctx context.Context, r *page.Request) (*shown, error) {
	data, err := v.page.Load(ctx, r)
	if err != nil {
		return nil, err
	}
	s := &shown{Title: v.page.Title, Current: v.page.Path, At: time.Now(), Live: len(v.page.Live) > 0, parts: map[string]string{}}
	if v.page.Nav == "" {
		s.Current = v.page.Under
	}
	if titled, ok := data.(interface{ Title() string }); ok {
		s.Title = titled.Title()
	}
	var w bytes.Buffer
	if err := v.main.ExecuteTemplate(&w, "main", data); err != nil {
		return nil, err
	}
	s.Main = template.HTML(w.String()) //nolint:gosec // html/template wrote it
	for _, name := range v.page.Live {
		w.Reset()
		if err := v.main.ExecuteTemplate(&w, name, data); err != nil {
			return nil, err
		}
		s.parts[name] = w.String()
	}
	return s, nil
}

func (l *layout) render(f frame) ([]byte, error) {
	f.Nav = l.nav
	f.Operator = f.Person.May(page.Operator)
	var w bytes.Buffer
	err := l.page.ExecuteTemplate(&w, "layout", f)
	return w.Bytes(), err
}

// problem is a page that says what is wrong.
func (l *layout) problem(e *page.Error) *shown {
	var w bytes.Buffer
	_ = l.page.ExecuteTemplate(&w, "problem", e)                                               // a Buffer does not fail, nor does this template
	return &shown{Title: "This did not work", Main: template.HTML(w.String()), At: time.Now()} //nolint:gosec // html/template wrote it
}
