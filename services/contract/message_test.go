package contract

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

const (
	tenant = "contoso"
	source = "https://hr.example.com/contract"

	inBinary     = "binary"
	inStructured = "structured"
)

// operationID is the rule of the page, written once more.
func operationID(tenant, source, id string, dryRun bool) string {
	identity := tenant + "\n" + source + "\n" + id
	if dryRun {
		identity += "\nplan"
	}
	sum := sha256.Sum256([]byte(identity))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:26]
}

// attribute is one attribute of an event: the value of its header, or its member as JSON.
type attribute struct{ name, value string }

// message is a command before it is put into one of the content modes.
type message struct {
	mode       string
	subject    string
	attributes []attribute
	header     nats.Header // beside the attributes
	data       string      // "": none
	rewrite    func(body string) string

	// that the result is told by; they differ from contoso and the source above in few rows
	tenant, source, id string
	name               string // of the object that the command creates
	dryRun             bool
}

// object is data of a command that creates an object in the directory.
func object(name string) string {
	return `{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"container","properties":[{"propertyName":"cn","propertyType":"String","values":["` + name + `"]}]}`
}

const objectCreate = "io.mailwright.directory.object.create.v1"

// newMessage is a command that is carried out, whose object has a name of its own.
func newMessage(mode, name string) *message {
	m := &message{
		mode: mode, subject: "mailwright.cmd.contoso.directory." + name, header: nats.Header{},
		data: object(name), tenant: tenant, source: source, id: name, name: name,
	}
	for _, a := range []attribute{{"specversion", "1.0"}, {"id", name}, {"source", source}, {"type", objectCreate}} {
		m.add(a.name, a.value)
	}
	if mode == inStructured {
		m.header["Content-Type"] = []string{"application/cloudevents+json"}
	}
	return m
}

// add adds an attribute whose value is text.
func (m *message) add(name, text string) {
	if m.mode == inStructured {
		text = strconv.Quote(text)
	}
	m.addRaw(name, text)
}

// addRaw adds an attribute as the mode has it on the wire.
func (m *message) addRaw(name, value string) {
	m.attributes = append(m.attributes, attribute{name, value})
}

func (m *message) remove(name string) {
	kept := m.attributes[:0]
	for _, a := range m.attributes {
		if a.name != name {
			kept = append(kept, a)
		}
	}
	m.attributes = kept
}

// nats is the message on the wire.
func (m *message) nats() *nats.Msg {
	msg := &nats.Msg{Subject: m.subject, Header: m.header, Data: []byte(m.data)}
	if m.mode == inBinary {
		for _, a := range m.attributes {
			msg.Header["ce-"+a.name] = append(msg.Header["ce-"+a.name], a.value)
		}
	} else {
		members := make([]string, len(m.attributes))
		for i, a := range m.attributes {
			members[i] = fmt.Sprintf("%q:%s", a.name, a.value)
		}
		if m.data != "" {
			members = append(members, `"data":`+m.data)
		}
		msg.Data = []byte("{" + strings.Join(members, ",") + "}")
	}
	if m.rewrite != nil {
		msg.Data = []byte(m.rewrite(string(msg.Data)))
	}
	return msg
}
