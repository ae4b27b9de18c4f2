package replay

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/services/internal/projector"
)

// view is a view that reads the live tables.
type view struct {
	name string
	// definition is the statement that replaces the view. Grants and comments stay. Its tables are
	// those of the search_path.
	definition string
}

// viewDefinitions returns the newest view first. A view is newer than the views that it reads, and
// readers lock them in this order.
const viewDefinitions = `SELECT format('%I.%I', s.nspname, v.relname), s.nspname = 'mailwright_views' AND v.relkind = 'v',
		format('CREATE OR REPLACE VIEW %I.%I%s AS %s', s.nspname, v.relname, ' WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid))
	FROM (SELECT DISTINCT r.ev_class FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class t ON t.oid = d.refobjid
		WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND t.relkind IN ('r', 'p')
		  AND t.relnamespace = '` + projector.Live + `'::regnamespace AND t.relname <> ALL ($1)) used
	JOIN pg_class v ON v.oid = used.ev_class JOIN pg_namespace s ON s.oid = v.relnamespace
	ORDER BY v.oid DESC`

// dependentViews returns the views that must be created again when the tables are swapped. A view
// outside mailwright_views that reads the live tables is an error.
func dependentViews(ctx context.Context, tx pgx.Tx) ([]view, error) {
	if _, err := tx.Exec(ctx, useLiveSchema); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, viewDefinitions, bookkeeping)
	if err != nil {
		return nil, err
	}
	var views []view
	var notOurs []string
	var v view
	var ours bool
	_, err = pgx.ForEachRow(rows, []any{&v.name, &ours, &v.definition}, func() error {
		views = append(views, v)
		if !ours {
			notOurs = append(notOurs, v.name)
		}
		return nil
	})
	if err == nil && len(notOurs) > 0 {
		err = fmt.Errorf("%s reads tables of schema %s, which a rebuild replaces: let it read the views of mailwright_views, or drop it",
			strings.Join(notOurs, ", "), projector.Live)
	}
	return views, err
}

// recreateSQL joins the definitions to one statement for the server, so that little time is left
// for a reader that locks several views in another order.
func recreateSQL(views []view) string {
	var all strings.Builder
	for _, v := range views {
		all.WriteString(strings.TrimSuffix(v.definition, ";") + ";\n")
	}
	return all.String()
}

func qualifiedNames(schema string, names []string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = pgx.Identifier{schema, n}.Sanitize()
	}
	return strings.Join(list, ", ")
}
