package failure_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailwright/mailwright/schemas"
	"github.com/mailwright/mailwright/services/internal/failure"
)

func kinds() (list []string) {
	for _, m := range failure.Meanings() {
		list = append(list, string(m.Kind))
	}
	return list
}

// TestEveryKindHasAMeaning compares the constants with the rows of Meanings.
func TestEveryKindHasAMeaning(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "failure.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Kind" {
			for _, value := range spec.Values {
				text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				constants = append(constants, text)
			}
		}
		return true
	})
	if diff := cmp.Diff(constants, kinds()); diff != "" {
		t.Errorf("constants of failure.go without a row in kinds.go (-), or in another order:\n%s", diff)
	}
}

// TestTheSchemaHasEveryKind: else the services publish events that do not fit the schema.
func TestTheSchemaHasEveryKind(t *testing.T) {
	t.Parallel()
	raw, err := schemas.FS.ReadFile("common.json")
	if err != nil {
		t.Fatal(err)
	}
	var common struct {
		Defs struct{ Kind struct{ Enum []string } } `json:"$defs"`
	}
	if err := json.Unmarshal(raw, &common); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(kinds(), common.Defs.Kind.Enum); diff != "" {
		t.Errorf("kinds that schemas/common.json lacks in $defs.kind.enum (-) or has alone (+):\n%s", diff)
	}
}

// TestThePageHasEveryKind compares the table of docs/operations.md with Meanings, but for the
// words.
func TestThePageHasEveryKind(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "| kind | means | first delay | longest | horizon |\n|---|---|---|---|---|\n")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("docs/operations.md has no table of kinds")
	}
	var want, got []string
	for _, m := range failure.Meanings() {
		horizon := inWords(m.Delays.Horizon)
		if m.Delays.Horizon == 0 {
			horizon = "at once"
		}
		want = append(want, fmt.Sprintf("`%s` | %s | %s | %s", m.Kind, inWords(m.Delays.First), inWords(m.Delays.Max), horizon))
	}
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		got = append(got, strings.Join(slices.Delete(cells, 1, 2), " | "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows that docs/operations.md, 'Kinds of failure', lacks (-) or has alone (+):\n%s", diff)
	}
}

// inWords gives a time as the page does: 0.5 s, 15 min, 24 h, 7 days.
func inWords(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < time.Minute:
		return fmt.Sprintf("%g s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%g min", d.Minutes())
	case d <= 24*time.Hour:
		return fmt.Sprintf("%g h", d.Hours())
	default:
		return fmt.Sprintf("%g days", d.Hours()/24)
	}
}

func TestPassesSoon(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		failure.New(failure.Throttled, "x"):                       true,
		fmt.Errorf("x: %w", failure.New(failure.Unavailable, "")): true,
		failure.New(failure.NotFound, "x"):                        false,
		os.ErrNotExist:                                            false,
	} {
		if got := failure.PassesSoon(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	if failure.PassesSoon(nil) {
		t.Error("no failure passes soon")
	}
}
