package bulk

import (
	"encoding/json"
	"fmt"
	"strings"
)

// content is what the templates of a value gave for a row.
type content int

const (
	constant content = iota // it has no template
	empty                   // each gave nothing
	filled
)

// value is a part of a command's data, as the mapping declares it.
type value interface {
	// render gives the value for a row; at is its JSON Pointer in the data.
	render(r *rendering, at string) (any, content)
	// each visits the templates of the value, at their JSON Pointers in the mapping.
	each(at string, visit func(at string, s scalar))
}

// rendering is the making of one row's data.
type rendering struct {
	cells     map[string]string
	omitEmpty bool
	faults    []fault
	// origins, where not nil, collects the columns of each part of the data by its JSON Pointer,
	// also of parts that are left out.
	origins map[string][]string
}

func (r *rendering) addOrigin(at string, columns []string) {
	if r.origins != nil && len(columns) > 0 {
		r.origins[at] = append(r.origins[at], columns...)
	}
}

// moveOrigins moves the columns of an item that is left out to its list, since the next item gets
// its pointer.
func (r *rendering) moveOrigins(item, list string) {
	for at, columns := range r.origins {
		if at == item || strings.HasPrefix(at, item+"/") {
			delete(r.origins, at)
			r.addOrigin(list, columns)
		}
	}
}

type object struct {
	names  []string
	values []value
}

func (o object) render(r *rendering, at string) (any, content) {
	out := make(map[string]any, len(o.names))
	all := constant
	for i, name := range o.names {
		v, c := o.values[i].render(r, at+pointerTo(name))
		all = max(all, c)
		if c != empty || !r.omitEmpty {
			out[name] = v
		}
	}
	return out, all
}

func (o object) each(at string, visit func(string, scalar)) {
	for i, name := range o.names {
		o.values[i].each(at+pointerTo(name), visit)
	}
}

type list struct{ items []value }

func (l list) render(r *rendering, at string) (any, content) {
	out := make([]any, 0, len(l.items))
	all := constant
	for _, item := range l.items {
		itemAt := fmt.Sprintf("%s/%d", at, len(out))
		v, c := item.render(r, itemAt)
		all = max(all, c)
		if c == empty && r.omitEmpty {
			r.moveOrigins(itemAt, at)
			continue
		}
		out = append(out, v)
	}
	return out, all
}

func (l list) each(at string, visit func(string, scalar)) {
	for i, item := range l.items {
		item.each(fmt.Sprintf("%s/%d", at, i), visit)
	}
}

// fixed is a value without templates.
type fixed struct{ value any }

func (f fixed) render(*rendering, string) (any, content) { return f.value, constant }

func (f fixed) each(string, func(string, scalar)) {}

// scalar is a text, or what a tag makes of it.
type scalar struct {
	text text
	tag  string
	line int
}

// Tags of scalars in the mapping.
const (
	tagText   = "!!str"
	tagInt    = "!!int"
	tagNumber = "!!float"
	tagBool   = "!!bool"
	tagList   = "!list"
)

func (s scalar) render(r *rendering, at string) (any, content) {
	r.addOrigin(at, s.text.columns)
	out, err := s.text.render(r.cells)
	if err != nil {
		r.faults = append(r.faults, fault{columns: s.text.columns, field: at, problem: err.Error()})
		return nil, filled
	}
	c := filled
	if isBlank(out) {
		c = empty
	}
	if !s.text.isTemplate() {
		c = constant
	}
	if c == empty && r.omitEmpty {
		return nil, empty
	}
	v, problem := s.convert(out)
	if problem != "" {
		r.faults = append(r.faults, fault{columns: s.text.columns, field: at, problem: problem})
	}
	return v, c
}

func (s scalar) each(at string, visit func(string, scalar)) { visit(at, s) }

// convert gives a text its type. problem does not quote it: it may be a secret.
func (s scalar) convert(out string) (v any, problem string) {
	trimmed := strings.TrimSpace(out)
	switch s.tag {
	case tagInt:
		if n, ok := wholeNumber(trimmed); ok {
			return json.Number(n), ""
		}
		return nil, "must be a whole number such as 42"
	case tagNumber:
		if n := json.Number(trimmed); json.Valid([]byte(n)) && isNumber(trimmed) {
			return n, ""
		}
		return nil, "must be a number such as 4.2"
	case tagBool:
		if b, ok := parseBool(trimmed); ok {
			return b, ""
		}
		return nil, "must be true or false, yes or no, 1 or 0"
	case tagList:
		return splitList(out), ""
	default:
		return out, ""
	}
}

func isNumber(s string) bool { return s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') }

// splitList takes a cell apart at semicolons and line breaks. A comma does not separate: DNs have
// them.
func splitList(s string) []any {
	items := []any{}
	for _, item := range strings.FieldsFunc(s, func(c rune) bool { return c == ';' || c == '\n' || c == '\r' }) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// pointerTo is a member as a step of a JSON Pointer (RFC 6901).
func pointerTo(name string) string { return "/" + pointerEscapes.Replace(name) }
