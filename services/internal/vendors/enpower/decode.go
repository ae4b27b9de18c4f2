package enpower

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mailwright/mailwright/pkg/integer"
)

// UnmarshalJSON reads the vendor's form and the normalised one. Its only error is that b is not an
// object: a value of an unexpected shape goes to Extra, so that one odd field does not cost the
// inventory a mailbox.
func (m *Mailbox) UnmarshalJSON(b []byte) error {
	*m = Mailbox{}
	if !decodeObject(b, reflect.ValueOf(m).Elem()) {
		return errors.New("a mailbox is not an object")
	}
	return nil
}

// members maps the JSON names of each type, in lower case (the page prints Id, the sample id), to
// its fields.
var members = index(Mailbox{}, Policies{}, Person{}, Profile{}, Metadata{})

func index(types ...any) map[reflect.Type]map[string]int {
	all := map[reflect.Type]map[string]int{}
	for _, v := range types {
		t := reflect.TypeOf(v)
		all[t] = map[string]int{}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			all[t][strings.ToLower(name)] = i
		}
	}
	return all
}

// decodeObject fills a struct from a JSON object and reports whether it is one.
func decodeObject(raw json.RawMessage, to reflect.Value) bool {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		return false
	}
	extra := Extra{}
	// sorted: two spellings of one name must not race
	for _, name := range slices.Sorted(maps.Keys(object)) {
		value := object[name]
		field, known := members[to.Type()][strings.ToLower(name)]
		if known && decodeValue(value, to.Field(field).Addr().Interface(), extra) {
			continue
		}
		extra[name] = canonical(value)
	}
	if len(extra) > 0 {
		to.FieldByName("Extra").Set(reflect.ValueOf(extra))
	}
	return true
}

// decodeValue reads a value into the field that p points to, and reports whether it fits. A value
// that says nothing fits everywhere and leaves the field empty. The members of a normalised Extra
// join those in extra.
func decodeValue(raw json.RawMessage, p any, extra Extra) bool {
	var ok bool
	switch p := p.(type) {
	case *json.RawMessage: // any JSON: "" and "N/A" are values here
		if kind(raw) != 'n' {
			*p = canonical(raw)
		}
		return true
	case *Extra:
		return decodeExtra(raw, extra)
	}
	if absent(raw) {
		return true
	}
	switch p := p.(type) {
	case *string:
		*p, ok = decodeText(raw)
	case **bool:
		*p, ok = decodeBool(raw)
	case **int64:
		*p, ok = decodeInt(raw)
	case **time.Time:
		*p, ok = decodeTime(raw)
	case **Policies:
		*p, ok = decodeStruct[Policies](raw)
	case **Person:
		*p, ok = decodeStruct[Person](raw)
	case **Profile:
		*p, ok = decodeStruct[Profile](raw)
	case *[]Person:
		*p, ok = decodeList[Person](raw)
	case *[]Metadata:
		*p, ok = decodeList[Metadata](raw)
	}
	return ok
}

// absent reports whether a value says nothing: it is missing, null, "" or "N/A". The page's sample
// has all of these, also in the place of objects.
func absent(raw json.RawMessage) bool {
	switch kind(raw) {
	case 0, 'n':
		return true
	case '"':
		if len(raw) > maxAbsentText {
			return false
		}
		text, ok := decodeText(raw)
		text = strings.TrimSpace(text)
		return ok && (text == "" || strings.EqualFold(text, "N/A"))
	}
	return false
}

// maxAbsentText bounds the texts that are checked for standing for no value, with spaces and
// escapes, in bytes.
const maxAbsentText = 64

// plainText is what stands in a JSON text without escapes, as nearly all are: to decode each by
// itself would cost more than all else.
func plainText(raw json.RawMessage) ([]byte, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) < 2 || bytes.IndexByte(raw, '\\') >= 0 || !utf8.Valid(raw) {
		return nil, false
	}
	return raw[1 : len(raw)-1], true
}

// kind is the first byte of a JSON value, which tells its type; 0 if there is none.
func kind(raw json.RawMessage) byte {
	if raw = bytes.TrimSpace(raw); len(raw) > 0 {
		return raw[0]
	}
	return 0
}

// decodeText reads a scalar as text.
func decodeText(raw json.RawMessage) (string, bool) {
	switch kind(raw) {
	case '{', '[':
		return "", false
	case '"':
		if plain, ok := plainText(raw); ok {
			return string(plain), true
		}
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	}
	return string(bytes.TrimSpace(raw)), true
}

// decodeBool reads true and false, also as text.
func decodeBool(raw json.RawMessage) (*bool, bool) {
	text, _ := decodeText(raw)
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true":
		return new(true), true
	case "false":
		return new(false), true
	}
	return nil, false
}

// decodeInt reads an integer exactly, also as text, and a number such as 5.0 or 1e3 that is one.
// A number that does not fit into 64 bits is not read.
func decodeInt(raw json.RawMessage) (*int64, bool) {
	text, _ := decodeText(raw)
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return &n, true
	}
	n, err := integer.Parse(text)
	if err != nil {
		return nil, false
	}
	return &n, true
}

// layouts of times: the vendor's, that of the normalised form, and their next of kin.
var layouts = []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", time.DateOnly}

// decodeTime reads a time; without a zone it is UTC. The year 1 is .NET's "never" (inferred): a
// fit, and nil.
func decodeTime(raw json.RawMessage) (*time.Time, bool) {
	text, _ := decodeText(raw)
	for _, layout := range layouts {
		t, err := time.Parse(layout, strings.TrimSpace(text))
		if err != nil {
			continue
		}
		t = t.UTC()
		switch year := t.Year(); {
		case year <= 1:
			return nil, true
		case year > 9999: // which RFC 3339 cannot write
			return nil, false
		}
		return &t, true
	}
	return nil, false
}

// decodeStruct reads an object; one without content is nil.
func decodeStruct[T any](raw json.RawMessage) (*T, bool) {
	var v T
	to := reflect.ValueOf(&v).Elem()
	if !decodeObject(raw, to) {
		return nil, false
	}
	if to.IsZero() {
		return nil, true
	}
	return &v, true
}

// decodeList reads an array of objects, or a single object where the vendor documents one and means
// several. Entries that say nothing are left out.
func decodeList[T any](raw json.RawMessage) ([]T, bool) {
	var entries []json.RawMessage
	if kind(raw) != '[' {
		entries = append(entries, raw)
	} else if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, false
	}
	var list []T
	for _, entry := range entries {
		if absent(entry) {
			continue
		}
		v, ok := decodeStruct[T](entry)
		if !ok {
			return nil, false
		}
		if v != nil {
			list = append(list, *v)
		}
	}
	return list, true
}

// decodeExtra reads the member extra of the normalised form.
func decodeExtra(raw json.RawMessage, extra Extra) bool {
	var object map[string]json.RawMessage
	if kind(raw) != '{' || json.Unmarshal(raw, &object) != nil {
		return false
	}
	for name, value := range object {
		extra[name] = canonical(value)
	}
	return true
}

// canonical is a value as encoding/json writes it: compact, valid UTF-8, its numbers as they came.
// Writing it again changes nothing.
func canonical(raw json.RawMessage) json.RawMessage {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	_ = decoder.Decode(&v) // it is part of a text that was decoded before
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}
