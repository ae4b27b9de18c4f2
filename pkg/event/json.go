package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what is read before anything is computed from it.
const (
	maxDepth        = 64
	maxValues       = 5_000 // of a command; results are our own, and larger
	maxNumberLength = 32
	maxExponent     = 20 // an integer of 64 bits needs 19
)

// errBounds ends the reading of a JSON text that breaks a bound. The fault says which.
var errBounds = errors.New("the text breaks a bound")

// parser reads one JSON text into values as [json.Decoder.UseNumber] gives them.
type parser struct {
	tokens *json.Decoder
	path   []string
	values int // that may still come
	faults []Fault
}

// parse reads a JSON text once. The value counts only where there is no fault: a member that is
// given twice, a bound that is broken, or a text that is not one JSON value in UTF-8.
func parse(text []byte, values int) (any, []Fault) {
	if problem := encodingProblem(text); problem != "" {
		return nil, []Fault{{Field: "data", Problem: problem}}
	}
	p := parser{tokens: json.NewDecoder(bytes.NewReader(text)), values: values}
	p.tokens.UseNumber()
	v, err := p.value()
	if err == nil {
		err = p.end()
	}
	if err != nil && !errors.Is(err, errBounds) {
		p.faults = append(p.faults, Fault{Field: "data", Problem: "is not JSON"})
	}
	return v, p.faults
}

// end refuses whatever follows the value.
func (p *parser) end() error {
	if _, err := p.tokens.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

func (p *parser) value() (any, error) {
	token, err := p.tokens.Token()
	if err != nil {
		return nil, err
	}
	if p.values--; p.values < 0 {
		return nil, p.breaks(fmt.Sprintf("is one value too many; the data may have %d", maxValues))
	}
	switch t := token.(type) {
	case json.Delim:
		return p.composite(t)
	case json.Number:
		return p.number(t.String())
	default:
		return t, nil
	}
}

func (p *parser) composite(open json.Delim) (v any, err error) {
	if len(p.path) == maxDepth {
		return nil, p.breaks(fmt.Sprintf("is nested too deeply: at most %d levels are possible", maxDepth))
	}
	if open == '{' {
		v, err = p.object()
	} else {
		v, err = p.array()
	}
	if err != nil {
		return nil, err
	}
	_, err = p.tokens.Token() // the closing delimiter
	return v, err
}

func (p *parser) object() (any, error) {
	members := map[string]any{}
	for p.tokens.More() {
		token, err := p.tokens.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		v, err := p.at(name)
		if err != nil {
			return nil, err
		}
		if _, twice := members[name]; twice {
			p.faults = append(p.faults, Fault{Field: pointer(append(p.path, name)), Problem: "is given more than once"})
		}
		members[name] = v
	}
	return members, nil
}

func (p *parser) array() (any, error) {
	items := []any{}
	for p.tokens.More() {
		v, err := p.at(strconv.Itoa(len(items)))
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return items, nil
}

// at reads the value that stands at a step below the present place.
func (p *parser) at(step string) (any, error) {
	p.path = append(p.path, step)
	v, err := p.value()
	if err == nil {
		p.path = p.path[:len(p.path)-1] // after an error the path says where it was
	}
	return v, err
}

// number reads a number. A whole one is written one way, so that 512, 512.0 and 5.12e2 are the
// same.
func (p *parser) number(text string) (any, error) {
	if len(text) > maxNumberLength {
		return nil, p.breaks(fmt.Sprintf("is too long a number: at most %d characters are possible", maxNumberLength))
	}
	if text != "-0" && !strings.ContainsAny(text, ".eE") {
		return json.Number(text), nil
	}
	if !isSmallExponent(text) { // 1e999999 has a million digits
		return nil, p.breaks(fmt.Sprintf("is a number whose exponent is beyond %d", maxExponent))
	}
	if r, ok := new(big.Rat).SetString(text); ok && r.IsInt() {
		text = r.Num().String()
	}
	return json.Number(text), nil
}

func isSmallExponent(number string) bool {
	_, text, given := strings.Cut(strings.ToLower(number), "e")
	exponent, err := strconv.Atoi(text)
	return !given || (err == nil && -maxExponent <= exponent && exponent <= maxExponent)
}

func (p *parser) breaks(problem string) error {
	p.faults = append(p.faults, Fault{Field: pointer(p.path), Problem: problem})
	return errBounds
}

var utf8Mark = []byte("\xef\xbb\xbf")

// withoutMark takes UTF-8's byte order mark away.
func withoutMark(text []byte) []byte { return bytes.TrimPrefix(text, utf8Mark) }

const wideProblem = "is in UTF-16 or UTF-32; it must be UTF-8"

// encodingProblem says why a JSON text is not one in UTF-8; "" where it is.
func encodingProblem(text []byte) string {
	switch {
	case isWide(text):
		return wideProblem
	case !utf8.Valid(text):
		return "is not UTF-8"
	case hasLoneSurrogate(text):
		return `has half of a surrogate pair (\ud800 to \udfff), which is no character`
	default:
		return ""
	}
}

// isWide recognises UTF-16 and UTF-32 by a byte order mark, or by a NUL among the first two bytes:
// JSON begins with ASCII.
func isWide(text []byte) bool {
	return len(text) >= 2 && (text[0] == 0 || text[1] == 0 || text[0] == 0xfe && text[1] == 0xff || text[0] == 0xff && text[1] == 0xfe)
}

// hasLoneSurrogate looks through the escapes of a JSON text. A decoder would put U+FFFD in the
// place of such an escape.
func hasLoneSurrogate(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 >= len(text) {
			return false
		}
		text = text[i:]
		switch unit := escapedUnit(text); {
		case unit < 0xd800 || unit > 0xdfff:
			text = text[2:]
		case unit > 0xdbff || escapedUnit(text[6:]) < 0xdc00 || escapedUnit(text[6:]) > 0xdfff:
			return true
		default:
			text = text[12:]
		}
	}
}

// escapedUnit reads the UTF-16 unit of an escape \uXXXX at the start of a text; 0 where there is
// none.
func escapedUnit(text []byte) uint64 {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return unit
}
