package tenant_test

import (
	"strings"
	"testing"
)

// FuzzLoad: whatever the file holds, there are tenants or an error, and no secret that stands in the file by mistake is repeated.
func FuzzLoad(f *testing.F) {
	f.Add(whole)
	f.Add("tenants: {a: {adaxes: {url: 'http://x', token: hunter2}}}")
	f.Add("tenants: {a: {adaxes: &x {url: 'http://x', token: {file: token}}}, b: {adaxes: *x}}")
	f.Add("tenants: [a]\n---\ntenants: {}")
	f.Fuzz(func(t *testing.T, text string) {
		tenants, err := load(t, text)
		if (err == nil) != (len(tenants) > 0) {
			t.Fatalf("%d tenants and %v", len(tenants), err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Fatal(err)
		}
	})
}
