package ldap

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/directory"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// entry is an object as LDAP shows it; values are bytes.
type entry struct {
	dn         string
	attributes map[string][]string
}

// get finds an attribute by its name in any case.
func (e entry) get(name string) []string {
	for known, values := range e.attributes {
		if strings.EqualFold(known, name) {
			return values
		}
	}
	return nil
}

// classes are the object classes, the most general first.
var classes = map[string][]string{
	"user":               {"top", "person", "organizationalPerson", "user"},
	"computer":           {"top", "person", "organizationalPerson", "user", "computer"},
	"contact":            {"top", "person", "organizationalPerson", "contact"},
	"group":              {"top", "group"},
	"organizationalUnit": {"top", "organizationalUnit"},
	"container":          {"top", "container"},
	"domainDNS":          {"top", "domain", "domainDNS"},
}

// entryOf shows an object. Adaxes' virtual attributes are not in the directory.
func entryOf(o *state.Object) entry {
	e := entry{dn: o.DN, attributes: map[string][]string{}}
	for name, values := range o.Properties {
		if strings.HasPrefix(strings.ToLower(name), "adm-") {
			continue
		}
		attribute, _ := directory.FindAttribute(name)
		for _, v := range values {
			e.attributes[name] = append(e.attributes[name], octets(v, attribute.Syntax))
		}
	}
	set := func(name string, values ...string) { e.attributes[name] = values }
	set("distinguishedName", o.DN)
	set("name", directory.Name(o.DN))
	set("objectClass", append([]string{}, classes[o.Class]...)...)
	set("objectGUID", string(directory.BinaryGUID(o.GUID)))
	set("whenCreated", generalizedTime(o.Created))
	set("whenChanged", generalizedTime(o.Changed))
	if o.SID != "" {
		set("objectSid", string(directory.BinarySID(o.SID)))
	}
	return e
}

// octets gives a value in the directory's string form (RFC 4517).
func octets(value any, syntax directory.Syntax) string {
	switch v := value.(type) {
	case bool:
		return strings.ToUpper(fmt.Sprint(v))
	case json.Number:
		return v.String()
	case string:
		if raw, err := base64.StdEncoding.DecodeString(v); syntax == directory.Binary && err == nil {
			return string(raw)
		}
		return v
	}
	return fmt.Sprint(value)
}

// generalizedTime is Active Directory's form of RFC 4517, section 3.3.13.
func generalizedTime(t time.Time) string { return t.UTC().Format("20060102150405") + ".0Z" }

// rootDSE tells where the directories begin.
func rootDSE(tx *state.Tx) entry {
	e := entry{attributes: map[string][]string{"supportedLDAPVersion": {"3"}}}
	for _, d := range tx.Seed().Domains {
		if !d.Azure {
			e.attributes["namingContexts"] = append(e.attributes["namingContexts"], "DC="+strings.ReplaceAll(d.Name, ".", ",DC="))
		}
	}
	return e
}
