package bulk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// text is a text of the mapping: as it stands, or a template over the cells of a row.
type text struct {
	literal  string
	template *template.Template // nil: literal
	columns  []string           // that the template uses
}

// cellError is what is wrong with the cells that a template was given. It quotes none.
type cellError struct{ problem string }

// Error implements error.
func (e cellError) Error() string { return e.problem }

// parseText reads a text of the mapping.
func (m *mapping) parseText(s string) (text, error) {
	if !strings.Contains(s, "{{") {
		return text{literal: s}, nil
	}
	t, err := template.New("").Option("missingkey=error").Funcs(m.functions()).Parse(s)
	if err != nil {
		return text{}, fmt.Errorf("is no template: %s", strings.TrimPrefix(err.Error(), "template: "))
	}
	if len(t.Templates()) > 1 {
		return text{}, errors.New("a template cannot define another")
	}
	u := &usage{}
	u.node(t.Root)
	if u.err != nil {
		return text{}, u.err
	}
	return text{template: t, columns: u.columns}, nil
}

// isTemplate reports whether the text depends on the row.
func (t text) isTemplate() bool { return t.template != nil }

func (t text) isZero() bool { return t.literal == "" && t.template == nil }

// render gives the text for a row. Its error is a cellError.
func (t text) render(cells map[string]string) (string, error) {
	if t.template == nil {
		return t.literal, nil
	}
	var b strings.Builder
	err := t.template.Execute(&b, cells)
	if wrong, ok := errors.AsType[cellError](err); ok {
		return "", wrong
	}
	if err != nil { // the error of a function of text/template may quote what it was given
		return "", cellError{"cannot be made: a function in its template does not take what it is given"}
	}
	return b.String(), nil
}

// usage finds the columns that a template uses. What would hide them is refused, so that a fault
// always names its columns.
type usage struct {
	columns []string
	err     error
}

func (u *usage) refuse(format string, args ...any) {
	if u.err == nil {
		u.err = fmt.Errorf(format, args...)
	}
}

func (u *usage) column(name string) {
	if !slices.Contains(u.columns, name) {
		u.columns = append(u.columns, name)
	}
}

func (u *usage) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, each := range n.Nodes {
			u.node(each)
		}
	case *parse.ActionNode:
		u.node(n.Pipe)
	case *parse.IfNode:
		u.node(n.Pipe)
		u.node(n.List)
		u.node(n.ElseList)
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			u.command(c)
		}
	case *parse.FieldNode:
		u.field(n.Ident, n.String())
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			u.field(n.Ident[1:], n.String())
		}
	case *parse.DotNode:
		u.refuse(`. alone is the whole row; name a column, as .login or col "First name"`)
	case *parse.RangeNode, *parse.WithNode, *parse.TemplateNode, *parse.ChainNode:
		u.refuse("%s is not taken here; a template has columns, functions and if", n)
	}
}

func (u *usage) field(path []string, shown string) {
	if len(path) != 1 {
		u.refuse(`%s names no column; write .login, or col "First name"`, shown)
		return
	}
	u.column(path[0])
}

// command replaces col "First name" by the field of that name, which the syntax of templates has no
// way to write.
func (u *usage) command(c *parse.CommandNode) {
	if name, ok := c.Args[0].(*parse.IdentifierNode); ok && name.Ident == colFunction {
		column, isText := c.Args[min(1, len(c.Args)-1)].(*parse.StringNode)
		if !isText || len(c.Args) != 2 {
			u.refuse(`col takes the name of one column: col "First name"`)
			return
		}
		c.Args = []parse.Node{&parse.FieldNode{NodeType: parse.NodeField, Pos: column.Pos, Ident: []string{column.Text}}}
	}
	for _, a := range c.Args {
		u.node(a)
	}
}
