package hostedexchange

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/mailwright/mailwright/pkg/integer"
)

// CreatedUser is what the vendor tells of a new user. It never holds the password, which the vendor
// echoes.
type CreatedUser struct {
	// Path is the user's LDAP path, the durable handle.
	Path string
	Name string
	// MemberOf are the LDAP paths of the groups that the user was put into.
	MemberOf []string
	PlanName string
	// Mail holds the plan's settings; nil without a mailbox.
	Mail           *MailSettings
	ProxyAddresses []string
	// Properties holds the attributes sent and those that the mailbox added (mail,
	// showInAddressBook, ...).
	Properties map[string][]string
}

// MailSettings are the settings that a plan gave to a mailbox.
type MailSettings struct {
	// SizeKB is the quota; the page does not name the unit. nil where the vendor says none, or none
	// that can be read.
	SizeKB *int64
	// Unread names the settings whose values could not be read.
	Unread                               []string
	DisablePOP, DisableIMAP, DisableHTTP bool
}

// element is an XML element of the answer, its namespace dropped. Those that hold a password are
// not in the tree.
type element struct {
	name     string
	attrs    map[string]string
	text     []byte
	children []*element
}

// maxDepth bounds the nesting of an answer; a true one has about ten levels.
const maxDepth = 64

var (
	// errMalformed stands for the decoder's error, which may quote a password.
	errMalformed = errors.New("the answer is not XML")
	errUnwelcome = errors.New("the answer holds a document type definition, or is nested too deeply")
)

// parse reads an XML document, which is UTF-8 by now whatever its declaration says. A document type
// definition is refused, as it could define entities, and an element that holds a password is
// skipped before anybody sees it.
func parse(body []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	root := &element{}
	open := []*element{root}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(root.children) == 1 {
			return root.children[0], nil
		}
		if err != nil {
			return nil, errMalformed
		}
		top := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			e := newElement(token)
			if e.isSecret() {
				if d.Skip() != nil {
					return nil, errMalformed
				}
				continue
			}
			if len(open) > maxDepth || len(open) == 1 && len(root.children) > 0 {
				return nil, errUnwelcome
			}
			top.children = append(top.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			top.text = append(top.text, token...)
		case xml.Directive:
			return nil, errUnwelcome
		}
	}
}

func newElement(token xml.StartElement) *element {
	e := &element{name: token.Name.Local, attrs: map[string]string{}}
	for _, a := range token.Attr {
		e.attrs[a.Name.Local] = a.Value
	}
	return e
}

// isSecret reports whether the element's content is one: by its name, by the vendor's own mark, or
// as a property by what it names.
func (e *element) isSecret() bool {
	mark := strings.TrimSpace(e.attrs["do-not-log"])
	return holdsPassword(e.name) || mark == "1" || strings.EqualFold(mark, "true") ||
		e.name == "property" && holdsPassword(e.attrs["name"])
}

// all returns the children of that name.
func (e *element) all(name string) []*element {
	var found []*element
	for _, c := range e.children {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

// find returns the first element of that name in the tree, e included; nil for none.
func (e *element) find(name string) *element {
	if e.name == name {
		return e
	}
	for _, c := range e.children {
		if found := c.find(name); found != nil {
			return found
		}
	}
	return nil
}

// value returns the text of the last child of that name that has any: a merge may repeat elements,
// the result last.
func (e *element) value(name string) string {
	var value string
	for _, c := range e.all(name) {
		if v := c.values(); len(v) > 0 {
			value = v[len(v)-1]
		}
	}
	return value
}

// values returns the element's values: those of its <value> children, else its own text.
func (e *element) values() []string {
	var values []string
	for _, c := range e.all("value") {
		values = append(values, strings.TrimSpace(string(c.text)))
	}
	if text := strings.TrimSpace(string(e.text)); len(values) == 0 && text != "" {
		values = []string{text}
	}
	return values
}

// user reads <data>. Elements may be repeated, and several spellings stand for one value.
func (e *element) user() CreatedUser {
	u := CreatedUser{PlanName: e.value("planName"), Properties: map[string][]string{}}
	for _, user := range e.all("user") {
		if u.Path == "" {
			u.Path, u.Name = strings.TrimSpace(user.attrs["path"]), user.attrs["name"]
		}
		for _, group := range user.all("memberOfGroup") {
			u.MemberOf = appendNew(u.MemberOf, group.attrs["name"])
		}
	}
	for _, mail := range e.all("mail") {
		u.Mail = &MailSettings{
			DisablePOP:  isTrue(mail.value("disablePOP")),
			DisableIMAP: isTrue(mail.value("disableIMAP")),
			DisableHTTP: isTrue(mail.value("disableHTTP")),
		}
		u.Mail.readSize(mail.value("size"))
	}
	for _, addresses := range e.all("proxyAddresses") {
		u.ProxyAddresses = appendNew(u.ProxyAddresses, addresses.values()...)
	}
	for _, properties := range e.all("properties") {
		for _, p := range properties.all("property") {
			name := p.attrs["name"]
			u.Properties[name] = appendNew(u.Properties[name], p.values()...)
		}
	}
	return u
}

// readSize takes the quota from its text, exactly or not at all.
func (m *MailSettings) readSize(text string) {
	if text == "" {
		return
	}
	if n, err := integer.Parse(text); err == nil {
		m.SizeKB = &n
		return
	}
	m.Unread = append(m.Unread, "size")
}

// appendNew appends the values that are not there yet.
func appendNew(list []string, values ...string) []string {
	for _, v := range values {
		if v != "" && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

// isTrue reads a boolean of the vendor's: 1 or true.
func isTrue(s string) bool {
	b, err := strconv.ParseBool(strings.ToLower(s))
	return err == nil && b
}
