package event

import (
	"encoding/json"
	"errors"

	"github.com/mailwright/mailwright/pkg/integer"
)

// Integer reads a JSON number whose value is an integer, as JSON Schema has it: 512, 512.0 and
// 5.12e2 are 512. The result is exact, and the cost is bounded whatever the text is.
//
// The error's text tells what is wrong with the field: no integer, beyond 64 bits, or longer than
// 32 characters.
func Integer(number json.Number) (int64, error) { return integer.Parse(string(number)) }

// Int is an integer in the data of a command. It reads every form of a JSON number that [Integer]
// does; a plain int reads 100 and refuses 100.0, which is the same to the schema. null and an
// absent member leave it as it is.
type Int int

// UnmarshalJSON implements json.Unmarshaler.
func (i *Int) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	n, err := Integer(json.Number(b))
	if err != nil {
		return err
	}
	if int64(int(n)) != n {
		return errors.New("is beyond this machine's integers")
	}
	*i = Int(n)
	return nil
}
