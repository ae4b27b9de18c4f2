package bulk

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxDepth is how deep data may be, as the contract has it. It also ends an alias that holds
// itself.
const maxDepth = 64

type member struct {
	name  string
	value *yaml.Node
}

// membersOf lists the members of a YAML mapping in their order.
func membersOf(n *yaml.Node) ([]member, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: must have members with values", n.Line)
	}
	var list []member
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("line %d: %w", key.Line, errBareTemplate)
		case key.Tag == "!!merge":
			return nil, fmt.Errorf("line %d: << is not taken here", key.Line)
		case seen[key.Value]:
			return nil, fmt.Errorf("line %d: %s stands here a second time", key.Line, key.Value)
		}
		seen[key.Value] = true
		list = append(list, member{key.Value, value})
	}
	return list, nil
}

var errBareTemplate = errors.New("a template needs quotes around it in YAML, such as '{{ .login }}'")

func notText(n *yaml.Node) error {
	if _, err := membersOf(n); err != nil {
		return err
	}
	return errors.New("must be a text")
}

// value reads a part of the data.
func (m *mapping) value(n *yaml.Node, depth int) (value, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("line %d: is more than %d levels deep", n.Line, maxDepth)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return m.value(n.Alias, depth+1)
	case yaml.MappingNode:
		return m.object(n, depth)
	case yaml.SequenceNode:
		return m.list(n, depth)
	default:
		v, err := m.scalar(n)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n.Line, err)
		}
		return v, nil
	}
}

func (m *mapping) object(n *yaml.Node, depth int) (value, error) {
	members, err := membersOf(n)
	if err != nil {
		return nil, err
	}
	var o object
	for _, member := range members {
		v, err := m.value(member.value, depth+1)
		if err != nil {
			return nil, err
		}
		o.names = append(o.names, member.name)
		o.values = append(o.values, v)
	}
	return o, nil
}

func (m *mapping) list(n *yaml.Node, depth int) (value, error) {
	l := list{}
	for _, item := range n.Content {
		v, err := m.value(item, depth+1)
		if err != nil {
			return nil, err
		}
		l.items = append(l.items, v)
	}
	return l, nil
}

// scalar reads a text or a template, with a type by its tag. Without a tag a template gives a text,
// and a value is what YAML takes it for.
func (m *mapping) scalar(n *yaml.Node) (value, error) {
	t, err := m.parseText(n.Value)
	if err != nil {
		return nil, err
	}
	s := scalar{text: t, tag: n.Tag, line: n.Line}
	switch n.Tag {
	case "!!timestamp":
		s.tag = tagText
	case tagText, tagInt, tagNumber, tagBool, tagList:
	case "!!null":
		return fixed{nil}, nil
	default:
		return nil, fmt.Errorf("the tag %s is not known; there are !!int, !!float, !!bool, !!str, !list", n.Tag)
	}
	if t.isTemplate() {
		return s, nil
	}
	if s.tag == tagInt || s.tag == tagNumber || s.tag == tagBool {
		return decoded(n)
	}
	v, _ := s.convert(n.Value)
	return fixed{v}, nil
}

// decoded is a value as YAML reads it, such as 0x1F for 31.
func decoded(n *yaml.Node) (value, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, fmt.Errorf("is not what its tag %s says", strings.TrimPrefix(n.Tag, "!!"))
	}
	if _, err := json.Marshal(v); err != nil {
		return nil, errors.New("is no number that JSON has")
	}
	return fixed{v}, nil
}
