package exchangeonline

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mailwright/mailwright/pkg/failure"
)

// answer is one page of Get-Mailbox.
type answer struct {
	mailboxes []Mailbox
	warnings  []string
	nextLink  string
}

// decodeAnswer reads what Get-Mailbox returns: "a JSON object or a list array" by the page, an OData envelope around
// value in fact (seen), and nothing at all where there is nothing to say.
func decodeAnswer(body []byte, selected []string) (answer, error) {
	var a answer
	rows, err := a.open(body)
	for _, row := range rows {
		if err != nil {
			break
		}
		var m Mailbox
		if m, err = decodeMailbox(row, selected); err == nil {
			a.mailboxes = append(a.mailboxes, m)
		}
	}
	if err != nil {
		return answer{}, &failure.Error{Kind: failure.Internal, Vendor: Vendor, Text: "the vendor's answer to Get-Mailbox can not be understood", Cause: err}
	}
	return a, nil
}

// open takes the envelope off and returns the rows.
func (a *answer) open(body []byte) ([]json.RawMessage, error) {
	switch kind(body) {
	case 0:
		return nil, nil
	case '[':
		return rowsOf(body)
	case '{':
		// below
	default:
		return nil, errors.New("the answer is not JSON of a known form")
	}
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, fmt.Errorf("the answer is not JSON: %w", err)
	}
	var err error
	if a.nextLink, err = decodeText(envelope["@odata.nextLink"]); err != nil {
		return nil, fmt.Errorf("@odata.nextLink %w", err) // else a short list would pass for a whole one
	}
	if a.warnings, err = decodeList(envelope["@adminapi.warnings"], decodeLoosely); err != nil {
		return nil, fmt.Errorf("@adminapi.warnings %w", err)
	}
	if value, found := envelope["value"]; found {
		return rowsOf(value)
	}
	for name := range envelope {
		if !strings.Contains(name, "@") && !strings.HasPrefix(name, "adminapi.") {
			return []json.RawMessage{body}, nil // a property: the object is the mailbox
		}
	}
	return nil, nil
}

// rowsOf reads the rows of an array, of a single object, or of null.
func rowsOf(value json.RawMessage) ([]json.RawMessage, error) {
	switch kind(value) {
	case 'n':
		return nil, nil
	case '{':
		return []json.RawMessage{value}, nil
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(value, &rows); err != nil {
		return nil, fmt.Errorf("value is not a list: %w", err)
	}
	return rows, nil
}

// pageLimit is the vendor's own page size (the page, "Pagination").
const pageLimit = 1000

// truncated reports whether mailboxes are missing after this last page. The vendor says so in a warning that tells to raise
// ResultSize (seen; the text is localised, the parameter's name is not). Any warning on a page as long as its limit counts too.
func (a answer) truncated(limit int) bool {
	if a.nextLink != "" {
		return false
	}
	for _, w := range a.warnings {
		if strings.Contains(strings.ToLower(w), "resultsize") {
			return true
		}
	}
	n := len(a.mailboxes)
	return len(a.warnings) > 0 && n > 0 && (n%limit == 0 || n%pageLimit == 0)
}
