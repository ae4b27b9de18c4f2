package benchmark

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRowsOfSeveralBenchmarksGatherInOneFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bench.json")
	for _, rows := range [][]Row{{{Name: "a", Value: 1}, {Name: "b", Value: 2}}, {{Name: "c", Value: 3}}, {{Name: "a", Value: 4}}} {
		if err := add(file, rows); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got results
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Row{{Name: "a", Value: 4}, {Name: "b", Value: 2}, {Name: "c", Value: 3}}, got.Rows); diff != "" || got.Machine["cpus"] == nil || got.Machine["os"] == nil {
		t.Errorf("%s %v", diff, got.Machine)
	}
}
