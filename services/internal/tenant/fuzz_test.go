package tenant_test

import (
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// FuzzLoad: whatever the file holds, there are tenants or an error, and no secret that stands in
// the file by mistake is repeated.
func FuzzLoad(f *testing.F) {
	f.Add(whole)
	f.Add("tenants: {a: {adaxes: {url: 'http://x', token: hunter2}}}")
	f.Add("tenants: {a: {adaxes: &x {url: 'http://x', token: {file: token}}}, b: {adaxes: *x}}")
	f.Add("tenants: {a: {adaxes: hunter2}}")
	f.Add("tenants: {? {adaxes: hunter2} : x}")
	f.Add("tenants: {a: {adaxes: '`a`hunter2'}}")
	f.Add("tenants: [a]\n---\ntenants: {}")
	f.Fuzz(func(t *testing.T, text string) {
		tenants, err := load(t, text)
		if (err == nil) != (len(tenants) > 0) {
			t.Fatalf("%d tenants and %v", len(tenants), err)
		}
		var root yaml.Node
		if err != nil && strings.Contains(err.Error(), "hunter2") && yaml.Unmarshal([]byte(text), &root) == nil && !named(&root, "hunter2") {
			t.Fatal(err)
		}
	})
}

// named reports whether a name in the file holds a text, a file's or variable's too: names are
// repeated, that the fault may be found.
func named(n *yaml.Node, text string) bool {
	for i, child := range n.Content {
		name := n.Kind == yaml.MappingNode && (i%2 == 0 || n.Content[i-1].Value == "env" || n.Content[i-1].Value == "file")
		if name && strings.Contains(child.Value, text) || named(child, text) {
			return true
		}
	}
	return strings.Contains(n.Anchor+n.Tag, text)
}
