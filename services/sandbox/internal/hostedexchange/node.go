package hostedexchange

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// node is one XML element. Names are case-sensitive; Space is the namespace's URI.
type node struct {
	Space, Name string
	Attributes  []attribute
	Children    []*node
	Text        string
}

type attribute struct{ Name, Value string }

// maxDepth bounds nesting, so that no document can exhaust the stack.
const maxDepth = 64

// parseXML reads one document. Document types and entities are refused.
func parseXML(text []byte) (*node, error) {
	decoder := xml.NewDecoder(bytes.NewReader(text))
	var root *node
	var open []*node
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			if root == nil || len(open) > 0 {
				return nil, errors.New("the document is incomplete")
			}
			return root, nil
		}
		if err != nil {
			return nil, errors.New("the document is not well-formed")
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, errors.New("document types are not allowed")
		case xml.StartElement:
			n := newNode(t)
			switch {
			case len(open) >= maxDepth:
				return nil, errors.New("the document is nested too deeply")
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.Children = append(parent.Children, n)
			case root != nil:
				return nil, errors.New("the document has two roots")
			default:
				root = n
			}
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].Text += string(t)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("there is text outside the root")
			}
		}
	}
}

// newNode makes a node of its start, without the declarations of namespaces.
func newNode(start xml.StartElement) *node {
	n := &node{Space: start.Name.Space, Name: start.Name.Local}
	for _, a := range start.Attr {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
			n.Attributes = append(n.Attributes, attribute{a.Name.Local, a.Value})
		}
	}
	return n
}

// all are the children of a name.
func (n *node) all(name string) []*node {
	if n == nil {
		return nil
	}
	var found []*node
	for _, c := range n.Children {
		if c.Name == name {
			found = append(found, c)
		}
	}
	return found
}

// child is the only child of a name; nil where there is none or more than one.
func (n *node) child(name string) *node {
	if found := n.all(name); len(found) == 1 {
		return found[0]
	}
	return nil
}

// value is the text of a child, trimmed; "" where there is none.
func (n *node) value(name string) string {
	if c := n.child(name); c != nil {
		return strings.TrimSpace(c.Text)
	}
	return ""
}

func (n *node) attribute(name string) (string, bool) {
	for _, a := range n.Attributes {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// element builds a node; text and children exclude each other.
func element(name, text string, children ...*node) *node {
	return &node{Name: name, Text: text, Children: children}
}

func (n *node) with(name, value string) *node {
	n.Attributes = append(n.Attributes, attribute{name, value})
	return n
}

// write appends the element as XML without insignificant blanks.
func (n *node) write(b *bytes.Buffer) {
	b.WriteString("<" + n.Name)
	for _, a := range n.Attributes {
		b.WriteString(" " + a.Name + `="`)
		_ = xml.EscapeText(b, []byte(a.Value)) // a buffer does not fail
		b.WriteByte('"')
	}
	if n.Text == "" && len(n.Children) == 0 {
		b.WriteString("/>")
		return
	}
	b.WriteByte('>')
	if len(n.Children) == 0 {
		_ = xml.EscapeText(b, []byte(n.Text))
	}
	for _, c := range n.Children {
		c.write(b)
	}
	b.WriteString("</" + n.Name + ">")
}
