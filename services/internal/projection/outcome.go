package projection

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/mailwright/mailwright/pkg/event"
)

// outcome is the members that the data of results share. A result has some of them.
type outcome struct {
	Operation     event.OperationData
	Failure       event.FailureData
	Since         *time.Time
	NextAttemptAt *time.Time
	Reason        string
	Faults        []event.Fault
	Warnings      []event.Warning
	// result and history are the data without the members that have columns or a table of their
	// own. The other members are as they came.
	result, history object
}

// outcome decodes the data in one pass.
func (r *result) outcome() (o outcome, err error) {
	data := r.event.Data()
	o.result, o.history = make(object, 0, len(data)), make(object, 0, len(data))
	d := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
	if begin, err := d.ReadToken(); err != nil || begin.Kind() != jsontext.KindBeginObject {
		return o, unreadable(r.event)
	}
	for d.PeekKind() == jsontext.KindString {
		name, err := d.ReadValue()
		if err != nil {
			return o, unreadable(r.event)
		}
		quoted := string(name)
		value, err := d.ReadValue()
		if err != nil || o.addMember(quoted, value) != nil {
			return o, unreadable(r.event)
		}
	}
	if _, err := d.ReadToken(); err != nil { // the end of the object
		return o, unreadable(r.event)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return o, unreadable(r.event)
	}
	return o, nil
}

// addMember adds a member of the data. name is quoted, as in JSON. [decode] has replaced every
// escape that is not necessary, so each of the names has one form.
func (o *outcome) addMember(name string, value []byte) error {
	switch name {
	case `"mailboxes"`:
		return nil
	case `"operation"`:
		return decodeMember(&o.Operation, value)
	case `"warnings"`:
		o.history.add(name, value)
		return decodeMember(&o.Warnings, value)
	}
	o.history.add(name, value)
	o.result.add(name, value)
	switch name {
	case `"failure"`:
		return decodeMember(&o.Failure, value)
	case `"since"`:
		return decodeMember(&o.Since, value)
	case `"nextAttemptAt"`:
		return decodeMember(&o.NextAttemptAt, value)
	case `"reason"`:
		return decodeMember(&o.Reason, value)
	case `"faults"`:
		return decodeMember(&o.Faults, value)
	}
	return nil
}

// decodeMember replaces the value of an earlier member of the same name, as Postgres does.
func decodeMember[T any](member *T, value []byte) error {
	var v T
	err := unmarshal(value, &v)
	*member = v
	return err
}

// object is a JSON object under construction, without its last brace.
type object []byte

func (o *object) add(name string, value []byte) {
	separator := byte(',')
	if len(*o) == 0 {
		separator = '{'
	}
	*o = append(append(append(append(*o, separator), name...), ':'), value...)
}

func (o object) raw() json.RawMessage {
	if len(o) == 0 {
		return json.RawMessage("{}")
	}
	return json.RawMessage(append(o, '}'))
}
