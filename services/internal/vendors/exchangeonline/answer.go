package exchangeonline

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mailwright/mailwright/services/internal/failure"
)

// answer is what a Get- cmdlet returns, its rows still encoded.
type answer struct {
	rows     []json.RawMessage
	warnings []string
	nextLink string
}

// decodeRows reads what a Get- cmdlet returns: "a JSON object or a list array" by the page, an
// OData envelope around value in fact (seen), and nothing at all where there is nothing to say.
func decodeRows[T any](cmdlet string, body []byte, decode func(json.RawMessage) (T, error)) (answer, []T, error) {
	var a answer
	err := a.open(body)
	var rows []T
	for _, raw := range a.rows {
		if err != nil {
			break
		}
		var row T
		if row, err = decode(raw); err == nil {
			rows = append(rows, row)
		}
	}
	if err != nil {
		return answer{}, nil, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the vendor's answer to " + cmdlet + " cannot be understood", Cause: err}
	}
	return a, rows, nil
}

// open takes the envelope off.
func (a *answer) open(body []byte) (err error) {
	switch kind(body) {
	case 0:
		return nil
	case '[':
		a.rows, err = rowsOf(body)
		return err
	case '{':
		// below
	default:
		return errors.New("the answer is not JSON of a known form")
	}
	var value json.RawMessage
	property := false // of a mailbox: the object is the row
	err = members(body, func(name string, member json.RawMessage) (err error) {
		switch {
		case name == "value":
			value = member
		case name == "@odata.nextLink":
			if a.nextLink, err = decodeText(member); err != nil {
				return fmt.Errorf("%s %w", name, err) // else a short list would pass for a whole one
			}
		case name == "@adminapi.warnings":
			if a.warnings, err = decodeList(member, decodeLoosely); err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
		case !strings.Contains(name, "@") && !strings.HasPrefix(name, "adminapi."):
			property = true
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("the answer: %w", err)
	case value != nil:
		a.rows, err = rowsOf(value)
	case property:
		a.rows = []json.RawMessage{body}
	}
	return err
}

// rowsOf reads the rows of an array, of a single object, or of null.
func rowsOf(value json.RawMessage) (rows []json.RawMessage, err error) {
	switch kind(value) {
	case 'n':
		return nil, nil
	case '{':
		return []json.RawMessage{value}, nil
	}
	err = items(value, func(row json.RawMessage) error {
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("value is not a list: %w", err)
	}
	return rows, nil
}

// pageLimit is the vendor's own page size (the page, "Pagination").
const pageLimit = 1000

// truncated reports whether rows are missing after this last page. The vendor says so in a warning
// that tells to raise ResultSize (seen; the text is localised, the parameter's name is not). Any
// warning on a page as long as its limit counts too.
func (a answer) truncated(limit int) bool {
	if a.nextLink != "" {
		return false
	}
	for _, w := range a.warnings {
		if strings.Contains(strings.ToLower(w), "resultsize") {
			return true
		}
	}
	n := len(a.rows)
	return len(a.warnings) > 0 && n > 0 && (n%limit == 0 || n%pageLimit == 0)
}
