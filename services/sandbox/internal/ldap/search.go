package ldap

import (
	"slices"
	"strings"

	"github.com/jimlambrt/gldap"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// maxResults is MaxPageSize of Active Directory's default query policy ([MS-ADTS] 3.1.1.3.4.6).
const maxResults = 1000

// search answers a search of scope base, one level or subtree.
func (s *Server) search(w *gldap.ResponseWriter, r *gldap.Request) {
	m, err := r.GetSearchMessage()
	if err != nil {
		_ = w.Write(r.NewSearchDoneResponse(gldap.WithResponseCode(gldap.ResultProtocolError)))
		return
	}
	code := s.run("search", m.BaseDN+" "+m.Filter, func() (int, string) {
		// The root DSE is open to everybody; the rest wants a bind first ([MS-ADTS] 5.1.3).
		if rootDSE := m.BaseDN == "" && m.Scope == gldap.BaseObject; !rootDSE && !s.isBound(r.ConnectionID()) {
			return gldap.ResultOperationsError, "not bound"
		}
		found, code := s.find(m)
		for _, e := range found {
			_ = w.Write(r.NewSearchResponseEntry(e.dn, gldap.WithAttributes(e.chosen(m.Attributes, m.TypesOnly))))
		}
		return code, "searched"
	})
	_ = w.Write(r.NewSearchDoneResponse(gldap.WithResponseCode(code)))
}

// find gives the entries that a search means.
func (s *Server) find(m *gldap.SearchMessage) (found []entry, code int) {
	matches, err := parseFilter(m.Filter)
	if err != nil {
		return nil, gldap.ResultInappropriateMatching
	}
	limit := maxResults
	if m.SizeLimit > 0 {
		limit = int(min(m.SizeLimit, maxResults))
	}
	s.World.View(func(tx *state.Tx) {
		if m.BaseDN == "" {
			if m.Scope == gldap.BaseObject {
				found = []entry{rootDSE(tx)}
			} else {
				code = gldap.ResultNoSuchObject // there is no catalogue of all domains
			}
			return
		}
		base := tx.Object(m.BaseDN)
		if base == nil || s.hidden(tx, base) || !strings.Contains(m.BaseDN, "=") {
			code = gldap.ResultNoSuchObject
			return
		}
		visit := func(o *state.Object) bool {
			e := entryOf(o)
			if s.hidden(tx, o) || !matches(e) {
				return true
			}
			if len(found) == limit {
				code = gldap.ResultSizeLimitExceeded
				return false
			}
			found = append(found, e)
			return true
		}
		if m.Scope == gldap.BaseObject {
			visit(base)
			return
		}
		tx.EachObject(func(o *state.Object) bool { return !below(o, base, m.Scope) || visit(o) })
	})
	return found, code
}

func below(o, base *state.Object, scope gldap.Scope) bool {
	if scope == gldap.SingleLevel {
		return directory.Fold(directory.Parent(o.DN)) == directory.Fold(base.DN)
	}
	return directory.Within(o.DN, base.DN)
}

// hidden reports whether a new object has not reached the domain controller that answers.
func (s *Server) hidden(tx *state.Tx, o *state.Object) bool {
	lag := s.World.Switches.Span(switches.LDAPReadLag)
	return lag > 0 && tx.Now().Before(o.Created.Add(lag))
}

// chosen gives the attributes that a caller asked for: all of them for none or "*"; "1.1" asks for
// none (RFC 4511, section 4.5.1.8).
func (e entry) chosen(names []string, typesOnly bool) map[string][]string {
	all := len(names) == 0 || slices.Contains(names, "*")
	chosen := map[string][]string{}
	for name, values := range e.attributes {
		if all || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			if typesOnly {
				values = nil
			}
			chosen[name] = values
		}
	}
	return chosen
}
