package event

import (
	"encoding/json"
	"strconv"
)

// ReplaceSecrets returns the data with each secret text (see [Document.Secrets]) replaced by what a
// function gives for it. field is the text's place, as a fault names it. The function's error is a
// fault of that field, and leaves the text as it is. Numbers and booleans are no secret texts. The
// data is nil where it is no JSON; its members are in alphabetical order.
func (d Document) ReplaceSecrets(replace func(field, text string) (string, error)) (data json.RawMessage, faults []Fault) {
	if len(d.faults) > 0 && !json.Valid(d.Event.Data()) {
		return nil, nil
	}
	r := replacing{replace: replace}
	data, err := json.Marshal(r.value(d.data, nil, false))
	if err != nil { // what was read from JSON can be written as JSON
		return nil, []Fault{{Field: "data", Problem: "cannot be written as JSON"}}
	}
	return data, sorted(r.faults)
}

type replacing struct {
	replace func(field, text string) (string, error)
	faults  []Fault
}

// value copies a value with its secrets replaced. The document keeps its own.
func (r *replacing) value(v any, path []string, secret bool) any {
	switch v := v.(type) {
	case hidden:
		return r.value(v.value, path, true)
	case string:
		if secret && v != "" {
			return r.text(v, pointer(path))
		}
	case []any:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = r.value(item, append(path, strconv.Itoa(i)), secret)
		}
		return items
	case map[string]any:
		members := make(map[string]any, len(v))
		for name, member := range v {
			members[name] = r.value(member, append(path, name), secret)
		}
		return members
	}
	return v
}

func (r *replacing) text(text, field string) string {
	replaced, err := r.replace(field, text)
	if err != nil {
		r.faults = append(r.faults, Fault{Field: field, Problem: err.Error()})
		return text
	}
	return replaced
}

// WithData returns the command with other data, read and checked anew. Its envelope stays.
func (c Command) WithData(data []byte) Command {
	c.Event.DataEncoded, c.Event.DataBase64 = data, false
	c.Document = readData(c.Event, maxValues)
	return c
}
