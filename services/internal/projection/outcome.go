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

// outcome is what the data of results have in common, each its part.
type outcome struct {
	Operation     event.OperationData
	Failure       event.FailureData
	Since         *time.Time
	NextAttemptAt *time.Time
	Reason        string
	Faults        []event.Fault
	Warnings      []event.Warning
	// result and history are the members as they came, without those that have columns or a table
	// of their own.
	result, history object
}

// outcome reads the data in one pass.
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

// addMember takes a member in. [decode] has left no letter escaped that could be written as it is, so
// a name has one form.
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

// decodeMember replaces what an earlier member of the same name said, as Postgres does.
func decodeMember[T any](member *T, value []byte) error {
	var v T
	err := unmarshal(value, &v)
	*member = v
	return err
}

// object is a JSON object to which members are added as they are written.
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
