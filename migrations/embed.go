// Package migrations holds the numbered SQL files that build Mailwright's projections in
// Postgres, in goose's format. [Migrate] applies them.
//
// Schema mailwright holds the tables, which may change from one version to the next. Schema
// mailwright_views holds the views, which are the stable surface for dashboards.
package migrations

import "embed"

// FS holds the files, in the order of their numbers.
//
//go:embed *.sql
var FS embed.FS
