package exchangeonline

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// tokens reads JSON as encoding/json does: of a member that is given twice, the last counts.
func tokens(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// members hands each member of a JSON object over, in the order of the text. The values are parts
// of the text, checked and not decoded: an answer is read once at each of its levels.
func members(object []byte, each func(name string, value json.RawMessage) error) error {
	d := tokens(object)
	return within(d, '{', func() error {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		text := name.String() // good until the next read
		value, err := part(d, object)
		if err != nil {
			return err
		}
		return each(text, value)
	})
}

// items hands each item of a JSON array over, as [members] does.
func items(array []byte, each func(json.RawMessage) error) error {
	d := tokens(array)
	return within(d, '[', func() error {
		value, err := part(d, array)
		if err != nil {
			return err
		}
		return each(value)
	})
}

// within reads a composite that begins with open and is the whole text.
func within(d *jsontext.Decoder, open jsontext.Kind, next func() error) error {
	if d.PeekKind() != open {
		return errForm
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != open+2 { // the closing bracket is two further in ASCII
		if err := next(); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errForm
	}
	return nil
}

// part reads the next value. It is cut from the text, since what the decoder returns is good until
// its next read only.
func part(d *jsontext.Decoder, text []byte) (json.RawMessage, error) {
	value, err := d.ReadValue()
	end := d.InputOffset()
	return text[end-int64(len(value)) : end : end], err
}
