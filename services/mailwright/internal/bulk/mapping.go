package bulk

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
)

// mapping says how a row becomes a command.
type mapping struct {
	file       string // its name, for faults
	Type       string
	Source     string
	Domain     string
	DateFormat string // layout of Go; "": ISO 8601 alone
	OmitEmpty  bool
	Identify   []string // columns that make the id where no template does

	zone       *time.Location
	attributes map[string]text // by their names in the mapping
	data       object
}

// Members of the mapping that are templates. Those of the envelope have the names of its
// attributes.
const (
	tenantMember = "tenant"
	idMember     = "id"
	keyMember    = "key"
)

// templates are the members of the mapping that are templates, beside data.
var templates = []string{
	tenantMember, idMember, keyMember, "subject",
	event.AttrCorrelationID, event.AttrCausationID, event.AttrNotBefore, event.AttrExpiryTime,
}

// readMapping reads a mapping file. Its error names the line.
func readMapping(path string) (*mapping, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &mapping{file: filepath.Base(path), OmitEmpty: true, zone: time.UTC, attributes: map[string]text{}}
	if err := m.read(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func (m *mapping) read(raw []byte) error {
	var root yaml.Node
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return err
	}
	if len(root.Content) == 0 {
		return errors.New("is empty")
	}
	members, err := membersOf(root.Content[0])
	if err != nil {
		return err
	}
	for _, member := range members {
		if err := m.set(member.name, member.value); err != nil {
			return fmt.Errorf("line %d: %s: %w", member.value.Line, member.name, err)
		}
	}
	return m.check()
}

func (m *mapping) set(name string, n *yaml.Node) error {
	if slices.Contains(templates, name) {
		if n.Kind != yaml.ScalarNode {
			return notText(n)
		}
		t, err := m.parseText(n.Value)
		m.attributes[name] = t
		return err
	}
	switch name {
	case "type":
		err := n.Decode(&m.Type)
		m.Type = render.Long(m.Type)
		return err
	case "source":
		return n.Decode(&m.Source)
	case "domain":
		return n.Decode(&m.Domain)
	case "identify":
		return n.Decode(&m.Identify)
	case "omitempty":
		return n.Decode(&m.OmitEmpty)
	case "dateformat":
		return n.Decode(&m.DateFormat)
	case "timezone":
		return m.setZone(n.Value)
	case "data":
		return m.setData(n)
	default:
		const others = "type, source, domain, identify, omitempty, dateformat, timezone, data"
		return fmt.Errorf("is not known here; there are %s, %s", others, strings.Join(templates, ", "))
	}
}

func (m *mapping) setZone(name string) (err error) {
	if m.zone, err = time.LoadLocation(name); err != nil {
		return errors.New("is no time zone that this machine knows, such as Europe/Berlin")
	}
	return nil
}

func (m *mapping) setData(n *yaml.Node) error {
	v, err := m.value(n, 0)
	if err != nil {
		return err
	}
	o, ok := v.(object)
	if !ok {
		return errors.New("must have members with values")
	}
	m.data = o
	return nil
}

// check says what is missing from the mapping, or would show a secret.
func (m *mapping) check() error {
	switch {
	case m.Type == "":
		return errors.New("type is missing, such as directory.object.create")
	case !event.IsCommand(m.Type):
		return fmt.Errorf("type: %s is no command; commands are %s", render.Short(m.Type), strings.Join(shortTypes(), ", "))
	case m.Source == "":
		return errors.New("source is missing: who asks, as a URI such as https://hr.example.com/joiners; an id counts within it")
	case m.attributes[idMember].isZero() && len(m.Identify) == 0:
		return errors.New("id or identify is missing: identify names the columns that tell one row from another, such as [employeeId]")
	case !m.attributes[idMember].isZero() && len(m.Identify) > 0:
		return errors.New("id and identify: give one of them")
	case m.attributes[idMember].literal != "":
		return errors.New("id has no column in it: each row would have the same")
	}
	return m.checkSecrets()
}

func shortTypes() (list []string) {
	for _, t := range event.CommandTypes() {
		list = append(list, render.Short(t))
	}
	return list
}

// checkSecrets refuses a mapping that takes a secret's column to a place that is shown or logged.
func (m *mapping) checkSecrets() error {
	secrets, err := m.secretColumns()
	if err != nil {
		return err
	}
	refuse := func(where string, columns []string) error {
		for _, c := range columns {
			if at := secrets[c]; at != "" && at != where {
				return fmt.Errorf("%s: uses the column %q, which holds a secret (%s), and would show it", where, c, at)
			}
		}
		return nil
	}
	for _, name := range templates {
		if err := refuse(name, m.attributes[name].columns); err != nil {
			return err
		}
	}
	if err := refuse("identify", m.Identify); err != nil {
		return err
	}
	m.data.each("", func(at string, s scalar) {
		if err == nil && !slices.Contains(mapValues(secrets), at) {
			err = refuse(at, s.text.columns)
		}
	})
	return err
}

func mapValues(m map[string]string) (list []string) {
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

// secretColumns finds the columns that go into secrets, and where, by holding the data with a mark
// in the place of each template against the names of secrets.
func (m *mapping) secretColumns() (map[string]string, error) {
	marks := map[string]scalar{} // templates by their marks
	at := map[string]string{}    // JSON Pointers by marks
	mark := func(pointer string, s scalar) string {
		name := fmt.Sprintf("template %d of the mapping", len(marks))
		marks[name] = s
		at[name] = pointer
		return name
	}
	raw, err := json.Marshal(outline(m.data, "", mark))
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	columns := map[string]string{}
	for _, secret := range event.Secrets(raw) {
		for _, c := range marks[secret].text.columns {
			columns[c] = at[secret]
		}
	}
	return columns, nil
}

// outline is the data of the mapping with a mark in the place of each template.
func outline(v value, at string, mark func(string, scalar) string) any {
	switch v := v.(type) {
	case object:
		out := map[string]any{}
		for i, name := range v.names {
			out[name] = outline(v.values[i], at+pointerTo(name), mark)
		}
		return out
	case list:
		out := make([]any, len(v.items))
		for i, item := range v.items {
			out[i] = outline(item, fmt.Sprintf("%s/%d", at, i), mark)
		}
		return out
	case scalar:
		return mark(at, v)
	case fixed:
		return v.value
	}
	return nil
}

// checkColumns says which columns that the mapping uses a table does not have.
func (m *mapping) checkColumns(t table, input string) error {
	var unknown []string
	look := func(where string, columns []string) {
		for _, c := range columns {
			if !slices.Contains(t.columns, c) || c == "" {
				unknown = append(unknown, fmt.Sprintf("\n  %s: %s: no column %q", m.file, where, c))
			}
		}
	}
	for _, name := range templates {
		look(name, m.attributes[name].columns)
	}
	look("identify", m.Identify)
	m.data.each("", func(at string, s scalar) { look(fmt.Sprintf("line %d: %s", s.line, at), s.text.columns) })
	if len(unknown) == 0 {
		return nil
	}
	if !slices.ContainsFunc(m.usedColumns(), func(c string) bool { return slices.Contains(t.columns, c) }) {
		// Without a header row 1 is data, which an error must not show.
		return fmt.Errorf("row 1 of %s has none of the mapping's columns; is it the header? The mapping uses:%s",
			input, strings.Join(unknown, ""))
	}
	return fmt.Errorf("the mapping uses columns that %s does not have; it has %s:%s",
		input, strings.Join(t.columns, ", "), strings.Join(unknown, ""))
}
