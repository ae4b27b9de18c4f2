package operation

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestThePageHasEveryStage compares the first two columns of the table in docs/operations.md with
// the pipeline.
func TestThePageHasEveryStage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "| group | stage | what happens | if the process dies right after it |\n|---|---|---|---|\n")
	table, _, ended := strings.Cut(table, "\n\n")
	if !found || !ended {
		t.Fatal("docs/operations.md has no table of stages")
	}
	var got []string
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		got = append(got, cells[0]+" "+cells[1])
	}
	if diff := cmp.Diff(stagesOf((&Engine{}).pipeline()), got); diff != "" {
		t.Errorf("rows that docs/operations.md, 'The stages', lacks (-) or has alone (+):\n%s", diff)
	}
}

// stagesOf names the stages, each with the member of pipeline that holds it.
func stagesOf(p pipeline) (names []string) {
	v := reflect.ValueOf(p)
	for _, member := range reflect.VisibleFields(v.Type()) {
		stages := v.FieldByIndex(member.Index)
		if stages.Kind() != reflect.Slice {
			names = append(names, inGroup(member.Name, stages))
			continue
		}
		for i := range stages.Len() {
			names = append(names, inGroup(member.Name, stages.Index(i)))
		}
	}
	return names
}

func inGroup(group string, stage reflect.Value) string {
	_, name, _ := strings.Cut(runtime.FuncForPC(stage.Pointer()).Name(), "(*Engine).")
	return fmt.Sprintf("`%s` `%s`", group, strings.TrimSuffix(name, "-fm"))
}
