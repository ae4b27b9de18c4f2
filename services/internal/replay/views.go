package replay

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/mailwright/mailwright/services/internal/projector"
)

// view is one that reads the live tables.
type view struct {
	name string
	// definition replaces the view, which keeps its grants and comments; it means the tables of the
	// search_path.
	definition string
}

// Youngest first: a view is younger than those that it reads, and readers take them in this order.
const viewDefinitions = `SELECT format('%I.%I', s.nspname, v.relname), s.nspname = 'mailwright_views' AND v.relkind = 'v',
		format('CREATE OR REPLACE VIEW %I.%I%s AS %s', s.nspname, v.relname, ' WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid))
	FROM (SELECT DISTINCT r.ev_class FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class t ON t.oid = d.refobjid
		WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND t.relkind IN ('r', 'p')
		  AND t.relnamespace = '` + projector.Live + `'::regnamespace AND t.relname <> ALL ($1)) used
	JOIN pg_class v ON v.oid = used.ev_class JOIN pg_namespace s ON s.oid = v.relnamespace
	ORDER BY v.oid DESC`

// dependentViews reads the views that must be made again when the tables are swapped.
func dependentViews(ctx context.Context, tx pgx.Tx) ([]view, error) {
	if _, err := tx.Exec(ctx, useLiveSchema); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, viewDefinitions, bookkeeping)
	if err != nil {
		return nil, err
	}
	var views []view
	var foreign []string
	var v view
	var ours bool
	_, err = pgx.ForEachRow(rows, []any{&v.name, &ours, &v.definition}, func() error {
		if views = append(views, v); !ours {
			foreign = append(foreign, v.name)
		}
		return nil
	})
	if err == nil && len(foreign) > 0 {
		err = fmt.Errorf("%s reads tables of schema %s, which a rebuild replaces: let it read the views of mailwright_views, or drop it", strings.Join(foreign, ", "), projector.Live)
	}
	return views, err
}

// recreateSQL makes all views again, in one message to the server: a reader that takes several
// views in another order has little time to come in between.
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
