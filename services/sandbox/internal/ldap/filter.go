package ldap

import (
	"errors"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
)

// matcher decides whether an entry fits a filter.
type matcher func(entry) bool

// errFilter is for filters beyond equality, presence, and, or, not.
var errFilter = errors.New("the filter is not supported")

// maxNesting bounds a filter's depth.
const maxNesting = 32

// parseFilter reads a filter (RFC 4515).
func parseFilter(text string) (matcher, error) {
	packet, err := goldap.CompileFilter(text)
	if err != nil {
		return nil, errFilter
	}
	return compile(packet, 0)
}

func compile(p *ber.Packet, depth int) (matcher, error) {
	if depth > maxNesting {
		return nil, errFilter
	}
	switch p.Tag {
	case goldap.FilterAnd, goldap.FilterOr:
		return compileSet(p, depth, p.Tag == goldap.FilterOr)
	case goldap.FilterNot:
		if len(p.Children) != 1 {
			return nil, errFilter
		}
		inner, err := compile(p.Children[0], depth+1)
		if err != nil {
			return nil, err
		}
		return func(e entry) bool { return !inner(e) }, nil
	case goldap.FilterPresent:
		name := p.Data.String()
		return func(e entry) bool { return len(e.get(name)) > 0 }, nil
	case goldap.FilterEqualityMatch:
		if len(p.Children) != 2 {
			return nil, errFilter
		}
		return equals(p.Children[0].Data.String(), p.Children[1].Data.String()), nil
	}
	return nil, errFilter
}

// compileSet fits where one part decides it: a true one for or, a false one for and.
func compileSet(p *ber.Packet, depth int, or bool) (matcher, error) {
	parts := make([]matcher, len(p.Children))
	for i, child := range p.Children {
		var err error
		if parts[i], err = compile(child, depth+1); err != nil {
			return nil, err
		}
	}
	return func(e entry) bool {
		for _, fits := range parts {
			if fits(e) == or {
				return or
			}
		}
		return !or
	}, nil
}

// equals compares as the attribute's syntax asks: names of objects as such, bytes exactly, texts in
// any case.
func equals(name, want string) matcher {
	attribute, _ := directory.FindAttribute(name)
	same := strings.EqualFold
	switch {
	case attribute.Syntax == directory.DNSyntax || strings.EqualFold(name, "distinguishedName"):
		same = func(a, b string) bool { return directory.Fold(a) == directory.Fold(b) }
	case attribute.Syntax == directory.Binary || strings.EqualFold(name, "objectSid"):
		same = func(a, b string) bool { return a == b }
	}
	return func(e entry) bool {
		for _, have := range e.get(name) {
			if same(have, want) {
				return true
			}
		}
		return false
	}
}
