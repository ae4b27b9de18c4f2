package event_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/mailwright/mailwright/pkg/event"
)

// headerOf is the header of a valid command in binary mode, with changes: a value of "" takes a
// header away.
func headerOf(changes ...string) nats.Header {
	h := nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {event.TypeInventorySync}}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "" {
			delete(h, changes[i])
		} else {
			h[changes[i]] = append(h[changes[i]], changes[i+1])
		}
	}
	return h
}

// structuredOf is a command in structured mode; further are members as JSON.
func structuredOf(further string) string {
	return `{"specversion":"1.0","id":"1","source":"/hr","type":"` + event.TypeInventorySync + `"` + further + `}`
}

// TestNATSBindingReads holds ReadCommand against the CloudEvents NATS protocol binding, the JSON
// event format and the specification, each rule by its section.
func TestNATSBindingReads(t *testing.T) {
	t.Parallel()
	const emptyData = `,"data":{}`
	structuredHeader := func(value string) nats.Header { return nats.Header{"Content-Type": {value}} }
	for _, c := range []struct {
		section string
		header  nats.Header
		body    string
		want    string // as of verdict
	}{
		{"NATS 3: Content-Type tells structured mode", structuredHeader("application/cloudevents+json"), structuredOf(emptyData), ""},
		{"NATS 3: in any case of letters", structuredHeader("Application/CloudEvents+JSON"), structuredOf(emptyData), ""},
		{"NATS 3: with parameters", structuredHeader("application/cloudevents+json; charset=utf-8"), structuredOf(emptyData), ""},
		{"NATS 3: without a format it is JSON", structuredHeader("application/cloudevents"), structuredOf(emptyData), ""},
		{"NATS 3: structured wins over ce-specversion", headerOf("content-type", "application/cloudevents+json"), structuredOf(emptyData), ""},
		{"NATS 3: else binary", headerOf("content-type", "application/json"), `{}`, ""},
		{"no header at all: structured", nil, structuredOf(emptyData), ""},
		{"another event format", structuredHeader("application/cloudevents+xml"), `<event/>`, "unreadable: content-type is an event format other than JSON; use application/cloudevents+json"},
		{"JSON 4: a batch is refused", structuredHeader("application/cloudevents-batch+json"), `[]`, "unreadable: content-type is a batch, which is not supported: publish each event as its own message"},

		{"NATS 3.1.3.1: names in any case", nats.Header{"Ce-Specversion": {"1.0"}, "CE-ID": {"1"}, "ce-Source": {"/hr"}, "Ce-Type": {event.TypeInventorySync}}, `{}`, ""},
		{"NATS 3.1.2: distinct headers", headerOf("ce-subject", "a", "Ce-Subject", "b"), `{}`, "subject is given more than once"},
		{"NATS 3.1.2: id twice", headerOf("ce-id", "2"), `{}`, "unreadable: id is given more than once"},
		{"NATS 3.1.2: datacontenttype is ce-datacontenttype", headerOf("ce-datacontenttype", "application/xml"), `{}`, "datacontenttype must be application/json, or another media type whose name ends in json"},
		{"NATS 3.1.2: which wins over content-type", headerOf("ce-datacontenttype", "application/json", "content-type", "text/plain"), `{}`, ""},
		{"NATS 3.1.3.2: invalid UTF-8 is refused", headerOf("ce-subject", "%C0%A0"), `{}`, "subject is not UTF-8"},
		{"NATS 3.1.3.2: a percent sign is encoded", headerOf("ce-subject", "100%"), `{}`, "subject has a % without two hexadecimal digits behind it; a % itself is written %25"},
		{"NATS 3.1.3.2: a quoted string ends", headerOf("ce-subject", `"a`), `{}`, "subject lacks its closing double quote"},

		{"spec: id is required", headerOf("ce-id", ""), `{}`, "unreadable: id is missing; it is required"},
		{"spec: source is required", headerOf("ce-source", ""), `{}`, "unreadable: source is missing; it is required"},
		{"spec: type is required", headerOf("ce-type", ""), `{}`, "type is missing; it is required"},
		{"spec: specversion is required", headerOf("ce-specversion", ""), `{}`, "specversion is missing; it is required"},
		{"spec: specversion 1.0", nats.Header{"ce-specversion": {"0.3"}, "ce-id": {"1"}, "ce-source": {"/hr"}, "ce-type": {event.TypeInventorySync}}, `{}`, "specversion must be 1.0"},
		{"spec: specversion 1.0, structured", nil, strings.Replace(structuredOf(emptyData), "1.0", "0.3", 1), "specversion must be 1.0"},
		{"spec: names of attributes", headerOf("ce-trace_id", "a"), `{}`, "trace_id cannot be the name of an attribute; use the letters a to z and digits, at most 64"},
		{"spec: no attribute is called data", headerOf("ce-data", "a"), `{}`, "data cannot be an attribute: the data is the body"},
		{"spec: dataschema is an absolute URI", headerOf("ce-dataschema", "x.json"), `{}`, "dataschema must be an absolute URI"},
		{"spec: no control characters", headerOf("ce-subject", "a%00"), `{}`, "subject has a control character"},
		{"spec: a Timestamp has a zone", headerOf("ce-time", "2026-11-21T09:00:00"), `{}`, "time must be a time as RFC 3339 has it, with a zone, such as 2026-11-21T09:00:00Z"},
		{"spec: a Timestamp has two digits for the hour", headerOf("ce-time", "2026-11-21T9:00:00Z"), `{}`, "time must be a time as RFC 3339 has it, with a zone, such as 2026-11-21T09:00:00Z"},

		{"JSON 2.2: null is absent", nil, structuredOf(`,"subject":null,"time":null,"datacontenttype":null,"dryrun":null,"notbefore":null,"x":null,"data_base64":null,"data":{}`), ""},
		{"JSON 2.2: Integer and Boolean", nil, structuredOf(`,"a":-2147483648,"b":2147483647,"c":true,"data":{}`), ""},
		{"JSON 2.2: an Integer has 32 bits", nil, structuredOf(`,"a":2147483648,"data":{}`), "a must be text, a boolean or an integer of 32 bits"},
		{"JSON 2.2: no fraction", nil, structuredOf(`,"a":1.5,"data":{}`), "a must be text, a boolean or an integer of 32 bits"},
		{"JSON 2.2: no object", nil, structuredOf(`,"a":{},"data":{}`), "a must be text, a boolean or an integer of 32 bits"},
		{"JSON 2.2: id is a String", nil, strings.Replace(structuredOf(emptyData), `"1"`, `1`, 1), "unreadable: id must be text"},
		{"a number is no text", nil, structuredOf(`,"tenantid":5,"data":{}`), "tenantid must be text"},
		{"a number is no time", nil, structuredOf(`,"notbefore":1798000000,"data":{}`), "notbefore must be a time as RFC 3339 has it, with a zone, such as 2026-11-21T09:00:00Z"},
		{"JSON 3.1.1: */json in any case", nil, structuredOf(`,"datacontenttype":"Text/JSON; charset=UTF-8","data":{}`), ""},
		{"JSON 3.1.1: */*+json", nil, structuredOf(`,"datacontenttype":"application/vnd.acme.v1+json","data":{}`), ""},
		{"JSON 3.1.1: another charset", nil, structuredOf(`,"datacontenttype":"application/json; charset=latin1","data":{}`), "datacontenttype must have the charset utf-8, or none"},
		{"JSON 3.1.1: data or data_base64", nil, structuredOf(`,"datacontenttype":"application/json","data":{},"data_base64":"e30="`), "data_base64 cannot stand beside data; give one of them"},
		{"JSON 3.1.2: data_base64", nil, structuredOf(`,"datacontenttype":"application/json","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(`{"pageSize":7}`)) + `"`), ""},
		{"JSON 3.1.2: data_base64 is base64", nil, structuredOf(`,"datacontenttype":"application/json","data_base64":"="`), "data_base64 is not base64"},
		{"JSON 3.1.2: without a media type nothing is assumed", nil, structuredOf(`,"data_base64":"e30="`), "datacontenttype is missing; it is required beside data_base64"},
		{"JSON 3.1.2: a string is not parsed again", nil, structuredOf(`,"data":"{}"`), "data must be object, not string"},
		{"JSON 3.1.1: null is data", nil, structuredOf(`,"data":null`), "data must be object, not null"},
		{"no data", nil, structuredOf(``), "data is missing; it is required"},

		{"RFC 8259 4: a member twice", nil, structuredOf(`,"subject":"a","subject":"b","data":{}`), "subject is given more than once"},
		{"RFC 8259 4: in another case of letters", nil, structuredOf(`,"dryrun":true,"dryRun":false,"data":{}`), "dryrun is given more than once"},
		{"RFC 8259 4: data twice", nil, structuredOf(`,"data":{},"data":{}`), "data is given more than once"},
		{"RFC 8259 4: deep in the data", headerOf(), `{"a":[{"b":1,"b":2}]}`, "/a/0/b is given more than once"},
		{"RFC 8259 8.1: a byte order mark", nil, "\xef\xbb\xbf" + structuredOf(emptyData), ""},
		{"RFC 8259 8.1: a byte order mark, binary", headerOf(), "\xef\xbb\xbf{}", ""},
		{"RFC 8259 8.1: UTF-16", nil, "\xff\xfe{\x00", "unreadable: body is in UTF-16 or UTF-32; it must be UTF-8"},
		{"RFC 8259 8.1: UTF-16 without a mark, binary", headerOf(), "{\x00}\x00", "data is in UTF-16 or UTF-32; it must be UTF-8"},
		{"RFC 8259 8.1: not UTF-8", headerOf(), "{\"a\":\"\xff\"}", "data is not UTF-8"},
		{"RFC 8259 8.2: half of a surrogate pair", headerOf(), `{"tenant":"\ud800"}`, `data has half of a surrogate pair (\ud800 to \udfff), which is no character`},
		{"RFC 8259 8.2: in an attribute", nil, structuredOf(`,"subject":"\udc00","data":{}`), "subject must be text"},
		{"RFC 8259 8.2: a pair", headerOf(), `{"tenant":"\ud83d\ude00"}`, ""},
		{"RFC 8259 2: one value", headerOf(), `{}{}`, "data is not JSON"},
		{"RFC 8259 2: one value, structured", nil, structuredOf(emptyData) + "x", "unreadable: body is not a JSON object, as a CloudEvent in structured mode is, and no header is one of CloudEvents"},
		{"an array", nil, `[]`, "unreadable: body is not a JSON object, as a CloudEvent in structured mode is, and no header is one of CloudEvents"},
		{"nothing", nil, ``, "unreadable: body is empty, and no header says that this is a CloudEvent"},

		{"a long number", headerOf(), `{"pageSize":100000000000000000000000000000000}`, "/pageSize is too long a number: at most 32 characters are possible"},
		{"a large exponent", headerOf(), `{"pageSize":1e999999}`, "/pageSize is a number whose exponent is beyond 20"},
		{"a long id", headerOf("ce-id", "", "CE-ID", strings.Repeat("a", 1025)), `{}`, "unreadable: id must have at most 1024 characters"},
		{"a long subject", headerOf("ce-subject", strings.Repeat("a", 1025)), `{}`, "subject must have at most 1024 characters"},
		{"a header that says otherwise", nats.Header{"content-type": {"application/cloudevents+json"}, "ce-dryrun": {"true"}}, structuredOf(emptyData), "dryrun is not the same in the header ce-dryrun as in the event"},
		{"several faults", headerOf("ce-dryrun", "yes", "ce-expirytime", "soon"), `{"a":1}`, "dryrun must be true or false, as a boolean or as text; " +
			"expirytime must be a time as RFC 3339 has it, with a zone, such as 2026-11-21T09:00:00Z; /a is not known here; remove it or check its spelling"},
		{"the type of a result", headerOf("ce-type", "", "Ce-Type", event.TypeSyncCompleted), `{}`, `type "` + event.TypeSyncCompleted + `" is a result; asyncapi.yaml lists the commands`},
	} {
		t.Run(c.section, func(t *testing.T) {
			t.Parallel()
			command, err := event.ReadCommand(c.header, []byte(c.body))
			if diff := cmp.Diff(c.want, verdict(command, err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNATSBindingValues holds the encoding of header values against section 3.1.3.2, in both
// directions.
func TestNATSBindingValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sent, want string
		canonical  bool // it is what Encode writes as well
	}{
		{"Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀", true}, // the binding's own example
		{"%22quoted%22%20100%25", `"quoted" 100%`, true},
		{"plain", "plain", true},
		{"%70lain", "plain", false}, // unnecessarily encoded
		{"%e2%82%ac", "€", false},   // lower case
		{"Büro", "Büro", false},     // not encoded
		{`"a \"b\" \\ c"`, `a "b" \ c`, false},
		{`"%41 b"`, "A b", false}, // unquoted first, decoded then
		{"%2541", "%41", true},    // one round only
		{"  a\t", "a", false},     // white space around a value
		{"a+b", "a+b", true},
	} {
		t.Run(c.sent, func(t *testing.T) {
			t.Parallel()
			command, err := event.ReadCommand(headerOf("ce-subject", c.sent), []byte("{}"))
			if err != nil || len(command.Check()) > 0 {
				t.Fatal(err, command.Check())
			}
			if got := command.Event.Subject(); got != c.want {
				t.Errorf("read %q, want %q", got, c.want)
			}
			h, _, err := event.Encode(command.Event, event.Binary)
			if err != nil {
				t.Fatal(err)
			}
			if got := h["ce-subject"][0]; c.canonical && got != c.sent {
				t.Errorf("wrote %q, want %q", got, c.sent)
			}
		})
	}
}

// TestBothModesSayTheSame sends one event in both modes: what is read is the same, down to the
// fingerprint.
func TestBothModesSayTheSame(t *testing.T) {
	t.Parallel()
	want, err := event.New("ä 1", "https://hr.example.com/Büro", event.TypeDelegationRead, event.DelegationReadData{Mailbox: "müller@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	want.SetSubject(`Jürgen "J" Müller 100%`)
	want.SetTime(time.Date(2026, 11, 21, 9, 0, 0, 5e8, time.UTC))
	want.SetDataContentType("application/vnd.acme+json")
	event.Extend(&want, event.Attribute{Name: event.AttrTenantID, Value: "contoso"}, event.Attribute{Name: event.AttrDryRun, Value: "TRUE"},
		event.Attribute{Name: event.AttrNotBefore, Value: "2026-11-21T10:00:00+01:00"}, event.Attribute{Name: event.AttrExpiryTime, Value: "2026-11-22T09:00:00Z"})
	var commands []event.Command
	for _, mode := range []event.Mode{event.Binary, event.Structured} {
		h, body, err := event.Encode(want, mode)
		if err != nil {
			t.Fatal(err)
		}
		c, err := event.ReadCommand(h, body)
		if err != nil || len(c.Check()) > 0 {
			t.Fatal(err, c.Check())
		}
		if c.TenantID != "contoso" || !c.DryRun || !c.NotBefore.Equal(want.Time().Truncate(time.Second)) || c.ExpiryTime.IsZero() {
			t.Errorf("mode %d: %q %v %v %v", mode, c.TenantID, c.DryRun, c.NotBefore, c.ExpiryTime)
		}
		commands = append(commands, c)
	}
	if diff := cmp.Diff(asJSON(t, commands[0].Event), asJSON(t, commands[1].Event)); diff != "" {
		t.Errorf("(-binary +structured):\n%s", diff)
	}
	if commands[0].Fingerprint() != commands[1].Fingerprint() {
		t.Error("the modes have two fingerprints")
	}
}

// TestTraceOfInstrumentationCounts: it sends plain headers, whatever the mode.
func TestTraceOfInstrumentationCounts(t *testing.T) {
	t.Parallel()
	const plain, own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, c := range map[string]struct {
		header     nats.Header
		body, want string
	}{
		"binary":              {headerOf("traceparent", plain), "{}", plain},
		"structured":          {nats.Header{"Traceparent": {plain}}, structuredOf(`,"data":{}`), plain},
		"the attribute first": {headerOf("traceparent", plain, "ce-traceparent", own), "{}", own},
		"too long":            {headerOf("traceparent", strings.Repeat("a", 200)), "{}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command, err := event.ReadCommand(c.header, []byte(c.body))
			if err != nil || len(command.Check()) > 0 {
				t.Fatal(err, command.Check())
			}
			if got := event.Extension(command.Event, event.AttrTraceParent); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestFingerprintOfCommands: what is the same command, and what is another.
func TestFingerprintOfCommands(t *testing.T) {
	t.Parallel()
	of := func(body string, changes ...string) string {
		c, err := event.ReadCommand(headerOf(changes...), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return c.Fingerprint()
	}
	base := of(`{"pageSize":512,"mailboxType":"all"}`, "ce-notbefore", "2026-11-21T10:00:00Z")
	for name, same := range map[string]string{
		"order, spelling of a number":       of(`{"mailboxType":"all", "pageSize":5.12e2}`, "ce-notbefore", "2026-11-21T10:00:00Z"),
		"the same instant, another zone":    of(`{"pageSize":512.0,"mailboxType":"all"}`, "ce-notbefore", "2026-11-21T11:00:00.000+01:00"),
		"a dry run has that of its command": of(`{"pageSize":512,"mailboxType":"all"}`, "ce-notbefore", "2026-11-21T10:00:00Z", "ce-dryrun", "true"),
	} {
		if same != base {
			t.Errorf("%s: another fingerprint", name)
		}
	}
	for name, other := range map[string]string{
		"other data":      of(`{"pageSize":513,"mailboxType":"all"}`, "ce-notbefore", "2026-11-21T10:00:00Z"),
		"no notbefore":    of(`{"pageSize":512,"mailboxType":"all"}`),
		"with expirytime": of(`{"pageSize":512,"mailboxType":"all"}`, "ce-notbefore", "2026-11-21T10:00:00Z", "ce-expirytime", "2026-11-22T10:00:00Z"),
		"a bad notbefore": of(`{"pageSize":512,"mailboxType":"all"}`, "ce-notbefore", "soon"),
	} {
		if other == base {
			t.Errorf("%s: the same fingerprint", name)
		}
	}
}

func FuzzReadCommand(f *testing.F) {
	f.Add("ce-specversion", "1.0", "ce-time", "x", []byte("{}"))
	f.Add("content-type", "application/cloudevents+json; x=", "a", "b", []byte(structuredOf(`,"data_base64":"="`)))
	f.Add("ce-subject", `"\`, "ce-notbefore", "%", []byte(`{"pageSize":1e20,"a":"\ud800"}`))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, body []byte) {
		c, err := event.ReadCommand(nats.Header{n1: {v1}, n2: {v2}, "ce-id": {"1"}, "ce-source": {"/"}, "ce-type": {event.TypeInventorySync}}, body)
		if err != nil {
			return
		}
		faults := c.Check()
		c.Secrets()
		if len(faults) > 0 || c.Panicked() != "" {
			if event.Excerpt(c.Document) != nil && len(c.Document.Check()) > 0 {
				t.Error("an excerpt of what breaks its schema")
			}
			return
		}
		for _, mode := range []event.Mode{event.Binary, event.Structured} {
			h, raw, err := event.Encode(c.Event, mode)
			if err != nil {
				t.Fatal(err)
			}
			again, err := event.ReadCommand(h, raw)
			if err != nil || len(again.Check()) > 0 || again.Fingerprint() != c.Fingerprint() || again.Event.ID() != c.Event.ID() || again.Event.Source() != c.Event.Source() {
				t.Errorf("mode %d: written and read again it is another: %v %v", mode, err, again.Check())
			}
		}
	})
}
