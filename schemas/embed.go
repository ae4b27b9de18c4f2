// Package schemas holds Mailwright's contract as files: a JSON Schema (2020-12) for the data
// of every event type, a valid example of each as a whole CloudEvent in structured mode,
// the envelope's schema, and asyncapi.yaml, which refers to them all.
//
// These files are the source of truth; the Go types in pkg/event are tested against them.
package schemas

import "embed"

// FS holds <type>.json for every event type, common.json, cloudevent.json,
// examples/<type>.json and asyncapi.yaml.
//
//go:embed *.json examples/*.json asyncapi.yaml
var FS embed.FS

// BaseURI precedes each schema's file name in its $id and in an event's dataschema.
const BaseURI = "https://mailwright.io/schemas/"
