package contract

import (
	"encoding/base64"
	encoding "encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// change makes a command what a row is about.
type change func(*message)

// row is a form of the envelope, and what becomes of a command that has it.
type row struct {
	topic, form string
	// both are changes for either mode; binary and structured are for one. Each makes one command.
	// A row without any for a mode says that the mode has no such form.
	both, binary, structured []change
	want                     verdict
	// other is what becomes of it in structured mode, where that differs.
	other *verdict
	// says stands on the page in the place of the verdict's words.
	says string
	// after publishes the unchanged command first and awaits its outcome.
	after bool
	// seen says what a result lacks.
	seen func(result) string
}

func set(name, text string) change {
	return func(m *message) { m.remove(name); m.add(name, text) }
}

// raw sets an attribute to a JSON value.
func raw(name, value string) change {
	return func(m *message) { m.remove(name); m.addRaw(name, value) }
}

func without(name string) change { return func(m *message) { m.remove(name) } }

func twice(name, first, second string) change {
	return func(m *message) { m.remove(name); m.add(name, first); m.add(name, second) }
}

func data(text string) change { return func(m *message) { m.data = text } }

// dataOf makes the data of the name of the object that the command would create.
func dataOf(text func(name string) string) change {
	return func(m *message) { m.data = text(m.name) }
}

func header(name, value string) change {
	return func(m *message) { m.header[name] = []string{value} }
}

func noHeader(m *message) { clear(m.header) }

func rewrite(f func(string) string) change { return func(m *message) { m.rewrite = f } }

func subject(text string) change { return func(m *message) { m.subject = text } }

// with makes one change of several.
func with(changes ...change) change {
	return func(m *message) {
		for _, c := range changes {
			c(m)
		}
	}
}

// all sets an attribute to each of the texts, one a command.
func all(name string, texts ...string) (list []change) {
	for _, text := range texts {
		list = append(list, set(name, text))
	}
	return list
}

// allRaw is all for JSON values.
func allRaw(name string, values ...string) (list []change) {
	for _, value := range values {
		list = append(list, raw(name, value))
	}
	return list
}

func one(c change) []change { return []change{c} }

// dry tells the reader of results that the command is a dry run.
func dry(m *message) { m.dryRun = true }

// dryRuns are the same changes, which make a dry run.
func dryRuns(list []change) (out []change) {
	for _, c := range list {
		out = append(out, with(c, dry))
	}
	return out
}

func or(v verdict) *verdict { return &v }

const (
	mustBeTime    = " must be a time as RFC 3339 has it, with a zone, such as 2026-11-21T09:00:00Z"
	mustBeBoolean = "dryrun must be true or false, as a boolean or as text"
	mustBeJSON    = "datacontenttype must be application/json, or another media type whose name ends in json"
	noEvent       = "body is not a JSON object, as a CloudEvent in structured mode is, and no header is one of CloudEvents"
	isTwice       = " is given more than once"
	isMissing     = " is missing; it is required"
)

var (
	past   = time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	future = time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
)

// rows is the table of the page.
func rows() []row {
	list := core()
	for _, name := range []string{"notbefore", "expirytime"} {
		list = append(list, timeRows(name)...)
	}
	list = append(list, ours()...)
	list = append(list, dataRows()...)
	list = append(list, modeRows()...)
	return append(list, placeRows()...)
}

func core() []row {
	return []row{
		{topic: "`specversion`", form: "`1.0`", both: all("specversion", "1.0"), want: done},
		{topic: "`specversion`", form: "`0.3`, `2.0`", both: all("specversion", "0.3", "2.0"), want: reject("specversion must be 1.0")},
		{topic: "`specversion`", form: "absent", both: one(without("specversion")), want: reject("specversion" + isMissing)},

		{topic: "`id`", form: "text of 1 to 1,024 characters", both: []change{id(" Müller 4711"), id("-100%"), idOf(1024)}, want: done},
		{topic: "`id`", form: "longer", both: one(idOf(1025)), want: unreadable("id must have at most 1024 characters")},
		{topic: "`id`", form: "absent, or blank", both: []change{without("id"), set("id", " ")}, want: unreadable("id" + isMissing)},
		{topic: "`id`", form: "a number", structured: allRaw("id", "4711"), want: unreadable("id must be text")},
		{topic: "`id`", form: "twice", both: one(twice("id", "a", "b")), want: unreadable("id" + isTwice)},

		{topic: "`source`", form: "a URI reference, or any other text of 1 to 1,024 characters", both: []change{from("https://HR.Example.com/a b"), from("HR system/Müller"), from("/hr")}, want: done},
		{topic: "`source`", form: "absent, or blank", both: []change{without("source"), set("source", "")}, want: unreadable("source" + isMissing)},
		{topic: "`source`", form: "a number", structured: allRaw("source", "1"), want: unreadable("source must be text")},

		{topic: "`type`", form: "a command of the subject's domain", both: all("type", objectCreate), want: done},
		{topic: "`type`", form: "absent", both: one(without("type")), want: reject("type" + isMissing)},
		{topic: "`type`", form: "unknown", both: all("type", "com.example.nonsense"), want: reject(`type "com.example.nonsense" is not a type that this system knows; asyncapi.yaml lists them`)},
		{topic: "`type`", form: "a result's", both: all("type", "io.mailwright.directory.object.created.v1"), want: reject(`type "io.mailwright.directory.object.created.v1" is a result; asyncapi.yaml lists the commands`)},
		{topic: "`type`", form: "a command of another domain", both: one(with(set("type", "io.mailwright.delegation.read.v1"), data(`{"mailbox":"alex@contoso.com"}`))),
			want: verdict{state: rejected, why: "type"}, says: "`type` belongs to the domain delegation"},

		{topic: "`subject`", form: "text of at most 1,024 characters; absent; blank", both: append(all("subject", "Müller, \"Max\"", ""), without("subject")), want: done},
		{topic: "`subject`", form: "longer", both: all("subject", strings.Repeat("x", 1025)), want: reject("subject must have at most 1024 characters")},
		{topic: "`subject`", form: "a number, a boolean, an object", structured: allRaw("subject", "5", "true", "{}"), want: reject("subject must be text")},

		{topic: "`time`", form: "RFC 3339 with a zone", both: all("time", "2026-11-21T09:00:00Z", "2026-11-21T09:00:00.123456+01:00"), want: done},
		{topic: "`time`", form: "without a zone, as Python's `isoformat()` writes it; another text; empty", both: all("time", "2026-11-21T10:00:00", "yesterday", "1798000000", ""), want: reject("time" + mustBeTime)},
		{topic: "`time`", form: "a number", structured: allRaw("time", "1798000000"), want: reject("time" + mustBeTime)},

		{topic: "`datacontenttype`", form: "absent; `application/json`, `…+json`, `text/json`, in any case of letters, also with `charset=utf-8`",
			both: append(all("datacontenttype", "application/json", "APPLICATION/JSON; charset=UTF-8", "application/vnd.acme.v1+json", "text/json"), without("datacontenttype")), want: done},
		{topic: "`datacontenttype`", form: "another media type", both: all("datacontenttype", "application/xml"), want: reject(mustBeJSON)},
		{topic: "`datacontenttype`", form: "another charset", both: all("datacontenttype", "application/json; charset=iso-8859-1"), want: reject("datacontenttype must have the charset utf-8, or none")},
		{topic: "`datacontenttype`", form: "as the header `Content-Type`", binary: []change{header("Content-Type", "application/json; charset=utf-8"), header("content-type", "application/vnd.acme+json")}, want: done},
		{topic: "`datacontenttype`", form: "another media type as the header `Content-Type`", binary: one(header("Content-Type", "text/plain")), want: reject(mustBeJSON)},

		{topic: "`dataschema`", form: "an absolute URI", both: all("dataschema", "https://mailwright.io/schemas/"+objectCreate+".json"), want: done},
		{topic: "`dataschema`", form: "a relative one", both: all("dataschema", "schema.json"), want: reject("dataschema must be an absolute URI")},
	}
}

// id gives a command an id of its own that ends as the text does.
func id(text string) change {
	return func(m *message) { m.id += text; set("id", wire(m, m.id))(m) }
}

// idOf gives a command an id of its own, so many characters long.
func idOf(length int) change {
	return func(m *message) { id(strings.Repeat("x", length-len(m.id)))(m) }
}

func from(text string) change {
	return func(m *message) { m.source = text; set("source", wire(m, text))(m) }
}

// wire is a text as the mode has it: in a header what is not printable ASCII is percent-encoded.
func wire(m *message, text string) string {
	if m.mode == inStructured {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c == '"' || c == '%' || c > '~' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// timeRows are the rows of notbefore and of expirytime.
func timeRows(name string) []row {
	topic, before, after := "`"+name+"`", done, later
	if name == "expirytime" {
		before, after = expired, done
	}
	return []row{
		{topic: topic, form: "RFC 3339 with a zone, past", both: all(name, past), want: before},
		{topic: topic, form: "RFC 3339 with a zone, to come", both: all(name, future), want: after},
		{topic: topic, form: "without a zone; another text; epoch seconds; empty", both: all(name, strings.TrimSuffix(future, "Z"), "tomorrow", "1798000000", ""), want: reject(name + mustBeTime)},
		{topic: topic, form: "a number, a boolean", structured: allRaw(name, "1798000000", "true"), want: reject(name + mustBeTime)},
		{topic: topic, form: "twice", both: one(twice(name, past, future)), want: reject(name + isTwice)},
	}
}

func ours() []row {
	const traceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	list := []row{
		{topic: "`dryrun`", form: "`true`, as text in any case of letters", both: dryRuns(all("dryrun", "true", "True", "TRUE")), want: plan},
		{topic: "`dryrun`", form: "the boolean `true`", structured: dryRuns(allRaw("dryrun", "true")), want: plan},
		{topic: "`dryrun`", form: "absent; `false`, as text in any case of letters", both: all("dryrun", "false", "False"), want: done},
		{topic: "`dryrun`", form: "the boolean `false`", structured: allRaw("dryrun", "false"), want: done},
		{topic: "`dryrun`", form: "`yes`, `1`, empty, any other text", both: all("dryrun", "yes", "1", "", "tru"), want: reject(mustBeBoolean)},
		{topic: "`dryrun`", form: "a number", structured: allRaw("dryrun", "1", "0"), want: reject(mustBeBoolean)},
		{topic: "`dryrun`", form: "twice, also in other letters (`dryRun`)", both: one(func(m *message) { m.add("dryrun", "true"); m.add("dryRun", "false") }), want: reject("dryrun" + isTwice)},

		{topic: "`tenantid`", form: "absent; blank; the tenant of the subject", both: all("tenantid", tenant, " "), want: done},
		{topic: "`tenantid`", form: "another tenant", both: all("tenantid", "fabrikam"), want: verdict{state: rejected, why: "tenantid"}, says: "`tenantid` is not the tenant of the subject"},
		{topic: "`tenantid`", form: "a number", structured: allRaw("tenantid", "5"), want: reject("tenantid must be text")},
	}
	for _, a := range []struct {
		name, text string
		longest    int
	}{{"correlationid", "CHG-17", 512}, {"causationid", "evt-9", 1024}, {"traceparent", traceParent, 128}, {"tracestate", "a=1", 512}} {
		row := row{topic: "`" + a.name + "`", form: fmt.Sprintf("text of at most %d characters", a.longest), both: all(a.name, a.text), want: done}
		if a.name == "correlationid" {
			row.seen = func(r result) string { return lacks("ce-correlationid", r.header.Get("ce-correlationid"), a.text) }
		}
		list = append(list, row,
			row2(a.name, "longer", all(a.name, strings.Repeat("x", a.longest+1)), nil, reject(fmt.Sprintf("%s must have at most %d characters", a.name, a.longest))),
			row2(a.name, "a number, a boolean", nil, allRaw(a.name, "5", "true"), reject(a.name+" must be text")))
	}
	list = append(list, principalRows()...)
	return append(list,
		row{topic: "`traceparent`, `tracestate`", form: "as headers without `ce-`", both: one(with(header("traceparent", traceParent), header("tracestate", "a=1"))), want: done},
		row{topic: "any of these", form: "`null`", want: done, structured: []change{
			raw("dryrun", "null"), raw("notbefore", "null"), raw("expirytime", "null"), raw("tenantid", "null"), raw("correlationid", "null"), raw("time", "null"),
			raw("subject", "null"), raw("datacontenttype", "null"), raw("dataschema", "null")}},
		row{topic: "any of these", form: "its name in other letters, such as `notBefore`", both: all("notBefore", future), want: later},

		row{topic: "other extensions", form: "text, a boolean, an integer of 32 bits", both: all("comexampleflag", "yes"), structured: allRaw("comexampleflag", "true", "2147483647"), want: done},
		row{topic: "other extensions", form: "another number, an object, a list", structured: allRaw("comexampleflag", "2147483648", "1.5", "{}", "[]"), want: reject("comexampleflag must be text, a boolean or an integer of 32 bits")},
		row{topic: "other extensions", form: "a name with another character than a to z and 0 to 9", both: all("trace_id", "x"), want: reject("trace_id cannot be the name of an attribute; use the letters a to z and digits, at most 64")},
		row{topic: "other extensions", form: "more than 100 attributes", both: one(func(m *message) {
			for i := range 100 {
				m.add(fmt.Sprint("x", i), "1")
			}
		}), want: unreadable("header has more than 100 attributes"), other: or(unreadable("body has more than 100 attributes"))})
}

// principalRows are the rows of CloudEvents' extension Auth Context.
func principalRows() []row {
	const types = "app_user, user, service_account, api_key, system, unauthenticated, unknown"
	const principal, claims = "dana@contoso.com", `{"groups":["hr"]}`
	as := func(attributes ...string) change {
		changes := []change{set("authtype", "user")}
		for i := 0; i < len(attributes); i += 2 {
			changes = append(changes, func(m *message) { set(attributes[i], wire(m, attributes[i+1]))(m) })
		}
		return with(changes...)
	}
	carried := func(r result) string {
		return lacks("ce-authtype", r.header.Get("ce-authtype"), "user") + lacks("ce-authid", r.header.Get("ce-authid"), principal)
	}
	return []row{
		{topic: "`authtype`", form: "`" + strings.ReplaceAll(types, ", ", "`, `") + "`", both: all("authtype", strings.Split(types, ", ")...), want: done},
		{topic: "`authtype`", form: "absent, beside neither of the next two", both: one(without("authtype")), want: done},
		{topic: "`authtype`", form: "absent beside `authid` or `authclaims`", both: one(with(func(m *message) { set("authid", "dana")(m) })), want: reject("authtype is missing; it is required together with authid")},
		{topic: "`authtype`", form: "another text", both: all("authtype", "admin", "User"), want: reject("authtype must be one of " + types)},
		{topic: "`authid`", form: "text of at most 512 characters", both: one(as("authid", principal)), want: done, seen: carried},
		{topic: "`authid`", form: "longer", both: one(as("authid", strings.Repeat("x", 513))), want: reject("authid must have at most 512 characters")},
		{topic: "`authid`", form: "a number", structured: []change{with(as(), raw("authid", "5"))}, want: reject("authid must be text")},
		{topic: "`authclaims`", form: "a JSON object as text of at most 1,024 characters", both: one(as("authid", principal, "authclaims", claims)), want: done, seen: carried},
		{topic: "`authclaims`", form: "longer", both: one(as("authclaims", `{"a":"`+strings.Repeat("x", 1024)+`"}`)), want: reject("authclaims must have at most 1024 characters")},
		{topic: "`authclaims`", form: "another text", both: []change{as("authclaims", "hr"), as("authclaims", "[]")}, want: reject("authclaims must be a JSON object as text")},
		{topic: "`authclaims`", form: "an object", structured: []change{with(as(), raw("authclaims", "{}"))}, want: reject("authclaims must be text")},
	}
}

func row2(name, form string, both, structured []change, want verdict) row {
	return row{topic: "`" + name + "`", form: form, both: both, structured: structured, want: want}
}

func dataRows() []row {
	userAccountControl := func(number string) change {
		return dataOf(func(name string) string {
			return `{"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"user","properties":[{"propertyName":"cn","propertyType":"String","values":["` + name + `"]},` +
				`{"propertyName":"sAMAccountName","propertyType":"String","values":["` + name + `"]},{"propertyName":"userAccountControl","propertyType":"Integer","values":[` + number + `]}]}`
		})
	}
	encoded := func(encode func([]byte) string, media bool) change {
		return func(m *message) {
			m.addRaw("data_base64", `"`+encode([]byte(m.data))+`"`)
			m.data = ""
			if media {
				m.add("datacontenttype", "application/json")
			}
		}
	}
	inText := dataOf(func(name string) string { return fmt.Sprintf("%q", object(name)) })
	deep := dataOf(func(name string) string {
		return strings.TrimSuffix(object(name), "}") + `,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}"
	})
	return []row{
		{topic: "data", form: "an object by the type's schema", both: one(with()), want: done},
		{topic: "data", form: "a JSON object as text", both: one(inText), want: reject("data must be object, not string")},
		{topic: "data", form: "`null`", both: one(data("null")), want: reject("data must be object, not null")},
		{topic: "data", form: "absent", both: one(data("")), want: reject("data" + isMissing)},
		{topic: "data", form: "a member that the schema does not have", both: one(dataOf(func(name string) string { return strings.Replace(object(name), "{", `{"Colour":"red",`, 1) })), want: reject("/Colour is not known here; remove it or check its spelling")},
		{topic: "data", form: "a member twice", both: one(dataOf(func(name string) string { return strings.Replace(object(name), "{", `{"objectType":"user",`, 1) })), want: reject("/objectType" + isTwice)},
		{topic: "data", form: "an integer as `512`, `512.0`, `5.12e2`", both: []change{userAccountControl("512"), userAccountControl("512.0"), userAccountControl("5.12e2")}, want: done},
		{topic: "data", form: "a number of more than 32 characters", both: one(userAccountControl(strings.Repeat("1", 33))), want: reject("/properties/2/values/0 is too long a number: at most 32 characters are possible")},
		{topic: "data", form: "a number whose exponent is beyond 20", both: one(userAccountControl("1e21")), want: reject("/properties/2/values/0 is a number whose exponent is beyond 20")},
		{topic: "data", form: "more than 64 levels", both: one(deep), want: reject("is nested too deeply: at most 64 levels are possible"), says: "the list or object is nested too deeply: at most 64 levels are possible"},
		{topic: "data", form: "not JSON", both: one(data("{]")), want: reject("data is not JSON"), other: or(unreadable(noEvent))},
		{topic: "`data_base64`", form: "the same in base64, beside `datacontenttype`", structured: one(encoded(base64.StdEncoding.EncodeToString, true)), want: done},
		{topic: "`data_base64`", form: "without `datacontenttype`", structured: one(encoded(base64.StdEncoding.EncodeToString, false)), want: reject("datacontenttype is missing; it is required beside data_base64")},
		{topic: "`data_base64`", form: "beside `data`", structured: one(with(set("datacontenttype", "application/json"), raw("data_base64", `"e30="`))), want: reject("data_base64 cannot stand beside data; give one of them")},
		{topic: "`data_base64`", form: "not base64", structured: one(encoded(func([]byte) string { return "=" }, true)), want: reject("data_base64 is not base64")},
	}
}

func modeRows() []row {
	wide := func(text string) string {
		out := []byte{0xff, 0xfe}
		for _, unit := range utf16.Encode([]rune(text)) {
			out = encoding.LittleEndian.AppendUint16(out, unit)
		}
		return string(out)
	}
	return []row{
		{topic: "body", form: "UTF-8 with a byte order mark", both: one(rewrite(func(s string) string { return "\xef\xbb\xbf" + s })), want: done},
		{topic: "body", form: "UTF-16, UTF-32", both: one(rewrite(wide)), want: reject("data is in UTF-16 or UTF-32; it must be UTF-8"), other: or(unreadable("body is in UTF-16 or UTF-32; it must be UTF-8"))},
		{topic: "body", form: "empty", both: one(rewrite(func(string) string { return "" })), want: reject("data" + isMissing), other: or(unreadable("body is empty, and no header says that this is a CloudEvent"))},
		{topic: "body", form: "one object, and more behind it", both: one(rewrite(func(s string) string { return s + "{}" })), want: reject("data is not JSON"), other: or(unreadable(noEvent))},

		{topic: "mode", form: "`Content-Type: application/cloudevents+json`, in any case of letters, with parameters, or without `+json`", structured: []change{
			header("Content-Type", "application/cloudevents+json; charset=UTF-8"), header("Content-Type", "Application/CloudEvents+JSON"), header("Content-Type", "application/cloudevents")}, want: done},
		{topic: "mode", form: "no header of CloudEvents, and no `Content-Type` or that of JSON", structured: []change{noHeader, header("Content-Type", "application/json")}, want: done},
		{topic: "mode", form: "a batch", structured: one(header("Content-Type", "application/cloudevents-batch+json")), want: unreadable("content-type is a batch, which is not supported: publish each event as its own message")},
		{topic: "mode", form: "another event format", structured: one(header("Content-Type", "application/cloudevents+xml")), want: unreadable("content-type is an event format other than JSON; use application/cloudevents+json")},
		{topic: "mode", form: "headers `ce-` beside a structured event, which say the same", structured: one(header("ce-source", source)), want: done},
		{topic: "mode", form: "headers `ce-` beside a structured event, which say otherwise", structured: one(header("ce-dryrun", "true")), want: reject("dryrun is not the same in the header ce-dryrun as in the event")},
		{topic: "header", form: "a value in double quotes; percent-encoded", binary: []change{raw("subject", `"Max \"M\" M"`), raw("subject", "M%C3%BCller")}, want: done},
		{topic: "header", form: "a `%` without two hexadecimal digits", binary: one(raw("subject", "100%")), want: reject("subject has a % without two hexadecimal digits behind it; a % itself is written %25")},
	}
}

func placeRows() []row {
	elsewhere := func(tenant string) change {
		return func(m *message) {
			m.tenant, m.subject = tenant, "mailwright.cmd."+tenant+".directory."+m.name
		}
	}
	reordered := dataOf(func(name string) string {
		return strings.Replace(object(name), `"createIn":"OU=My Organizational Unit,DC=example,DC=com","objectType":"container"`,
			`"objectType":"container", "createIn":"OU=My Organizational Unit,DC=example,DC=com"`, 1)
	})
	return []row{
		{topic: "NATS subject", form: "a key that is not the recommended one", both: one(subject("mailwright.cmd.contoso.directory.Other")), want: done, says: "a warning of the result names the recommended key", seen: func(r result) string {
			return lacks("the warning", r.warnings(), r.header.Get("ce-commandid"))
		}},
		{topic: "NATS subject", form: "a tenant that is not configured", both: one(elsewhere("nobody")), want: verdict{state: rejected, why: "tenantid"}, says: "`tenantid` names no tenant that is configured"},
		{topic: "NATS subject", form: "a domain that does not exist; a key with a dot", both: []change{subject("mailwright.cmd.contoso.mailboxes.a"), subject("mailwright.cmd.contoso.directory.alex@contoso.com")}, want: unstored("no stream takes it: “no responders” at once")},

		{topic: "the same `source` and `id`", form: "with the same type, data, `notbefore` and `expirytime`; members in another order; another `time` or `correlationid`", both: []change{with(), reordered, set("time", past), set("correlationid", "2")}, after: true, want: repeated},
		{topic: "the same `source` and `id`", form: "with other data", both: one(dataOf(func(name string) string { return object(name + "-2") })), after: true, want: conflict},
		{topic: "the same `source` and `id`", form: "with another `notbefore` or `expirytime`", both: []change{set("notbefore", past), set("expirytime", future)}, after: true, want: conflict},
		{topic: "the same `source` and `id`", form: "as a dry run", both: one(with(set("dryrun", "true"), dry)), after: true, want: plan},
	}
}

func lacks(what, got, want string) string {
	if strings.Contains(got, want) {
		return ""
	}
	return fmt.Sprintf("%s: %q is not in %q", what, want, got)
}
