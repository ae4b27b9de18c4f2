package hostedexchange

import (
	"bytes"
	"reflect"
	"testing"
)

// FuzzParseXML holds the reader against the writer: what is written reads back the same.
func FuzzParseXML(f *testing.F) {
	f.Add([]byte(`<request><procedure><execute namespace="a&amp;b" impersonate="1"><executeData><x>1</x></executeData></execute></procedure></request>`))
	f.Add([]byte(`<!DOCTYPE r [<!ENTITY e "x">]><r>&e;</r>`))
	f.Add([]byte(`<a><b/></a><c/>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		root, err := parseXML(text)
		if err != nil {
			return
		}
		var written bytes.Buffer
		tidy(root).write(&written)
		again, err := parseXML(written.Bytes())
		if err != nil {
			t.Fatalf("%v: %s", err, written.Bytes())
		}
		var twice bytes.Buffer
		tidy(again).write(&twice)
		if !reflect.DeepEqual(written.Bytes(), twice.Bytes()) {
			t.Errorf("%s\n%s", written.Bytes(), twice.Bytes())
		}
	})
}
