//go:build failpoints

package failpoint

import (
	"bytes"
	"encoding/json"
	"math/big"
	"time"
)

// maxComputing is how long ComputeNumbers may take. A message of numbers with huge exponents would
// keep a processor busy for hours, and a run of the suite has to end.
const maxComputing = 2 * time.Second

// ComputeNumbers switches [Bounds] off. It gives every number of a JSON text its exact value, as a
// schema validator does that sees a text which nothing has measured before.
//
// Package event reads commands and has no failpoints, since publishers import it. So the bounds
// stay in place there, and the work that they prevent is done beside them.
func (s Set) ComputeNumbers(text []byte) {
	if !s.Disabled(Bounds) {
		return
	}
	began := time.Now()
	tokens := json.NewDecoder(bytes.NewReader(text))
	tokens.UseNumber()
	for time.Since(began) < maxComputing {
		token, err := tokens.Token()
		if err != nil {
			return // the end of the text, or it is not JSON
		}
		if number, ok := token.(json.Number); ok {
			new(big.Rat).SetString(number.String())
		}
	}
}
