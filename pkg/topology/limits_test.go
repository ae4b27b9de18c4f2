package topology_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/topology"
)

// TestThePageHasEveryBound: each stream has a bound, and the page has its reason.
func TestThePageHasEveryBound(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/capacity.md")
	if err != nil {
		t.Fatal(err)
	}
	bounds := map[string]topology.Bound{}
	for _, b := range topology.Bounds() {
		bounds[b.Stream] = b
		age := fmt.Sprintf("| %s | %d days", b.Stream, b.MinAge/(24*time.Hour))
		if b.OnlyForEver {
			age = fmt.Sprintf("| %s | for ever only", b.Stream)
		}
		if !strings.Contains(string(page), age) || !strings.Contains(string(page), "| "+b.WhyAge+" |") {
			t.Errorf("the page does not say %q, and why: %s", age, b.WhyAge)
		}
	}
	for _, s := range topology.Streams(topology.Config{}) {
		if _, bounded := bounds[s.Name]; !bounded {
			t.Errorf("stream %s has no bound", s.Name)
		}
	}
}

func TestLayouts(t *testing.T) {
	t.Parallel()
	commands := topology.Streams(topology.Config{Partitions: 5})[0]
	first, err := topology.LayoutOf(commands)
	if err != nil || first.Current != (topology.Generation{Partitions: 5}) || first.Previous != nil {
		t.Fatalf("%+v, %v", first, err)
	}
	commands.Metadata["owner"] = "operations"
	first.Next(7).Apply(&commands)
	second, err := topology.LayoutOf(commands)
	if err != nil || second.Current != (topology.Generation{Number: 1, Partitions: 7}) || second.Previous == nil || *second.Previous != first.Current || commands.Metadata["owner"] != "operations" {
		t.Fatalf("%+v, %v, %v", second, err, commands.Metadata)
	}
	if want := "mailwright.cmd.{{wildcard(1)}}.{{wildcard(2)}}.1.{{partition(7,1,2,3)}}.{{wildcard(3)}}"; commands.SubjectTransform.Destination != want {
		t.Errorf("the transform is to %s, want %s", commands.SubjectTransform.Destination, want)
	}
	if second.IsPast(0) || second.IsPast(1) || !(topology.Layout{Current: second.Current}).IsPast(0) {
		t.Error("a generation that is kept is past, or one that is not kept is not")
	}
	commands.SubjectTransform.Destination = "mailwright.cmd.{{wildcard(1)}}.{{wildcard(2)}}.{{partition(7,1,2)}}.{{wildcard(3)}}"
	if l, err := topology.LayoutOf(commands); err == nil {
		t.Errorf("a foreign transform is read as %+v", l)
	}
}
