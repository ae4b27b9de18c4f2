package check_test

import (
	"testing"

	"github.com/mailwright/mailwright/services/guarantees/internal/check"
)

// sound is evidence of a system that keeps every promise.
func sound() check.Evidence {
	return check.Evidence{
		Commands: []check.Command{{OperationID: "a", Key: "k", Number: 1}, {OperationID: "b", Key: "k", Number: 2}},
		Events: []check.Event{
			{OperationID: "a", Type: "started", State: "started"}, {OperationID: "a", Type: "created", State: "succeeded", Terminal: true},
			{OperationID: "b", Type: "created", State: "succeeded", Terminal: true},
		},
		Objects: []check.Object{{OperationID: "a", Created: 5, Key: "k", Number: 1}, {OperationID: "b", Created: 6, Key: "k", Number: 2}},
		Texts:   []check.Text{{Where: "a log", Text: "created"}}, Secrets: []string{"hunter2"},
		Poison: []uint64{7}, Dead: []uint64{7},
		Live: map[string][]string{"operations": {"a", "b"}}, Replayed: map[string][]string{"operations": {"a", "b"}},
	}
}

func TestSoundEvidenceHasNoViolation(t *testing.T) {
	t.Parallel()
	e := sound()
	for name, v := range map[string]check.Violations{
		"G1": e.OneOutcome(), "G2": e.OnceAtTheVendor(), "G3": e.InOrder(), "G5": e.RowsEqualReplay(), "G6": e.NoSecret(), "G7": e.NothingVanishes(),
	} {
		if len(v) > 0 {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func TestNoDelay(t *testing.T) {
	t.Parallel()
	e := sound()
	if v := e.NoDelay("b"); len(v) > 0 { // a before b
		t.Error(v)
	}
	if v := e.NoDelay("a"); len(v) == 0 {
		t.Error("a delayed operation is not found")
	}
}

func TestNotLured(t *testing.T) {
	t.Parallel()
	sound := check.Lure{Tried: []string{"redirect"}, PeakBytes: 1, LimitBytes: 2}
	if v := sound.NotLured(); len(v) > 0 {
		t.Error(v)
	}
	for name, breach := range map[string]func(*check.Lure){
		"nothing tried": func(l *check.Lure) { l.Tried = nil },
		"elsewhere":     func(l *check.Lure) { l.Elsewhere = 1 },
		"grown":         func(l *check.Lure) { l.PeakBytes = 3 },
		"untold":        func(l *check.Lure) { l.Open = []string{"a"} },
	} {
		l := sound
		breach(&l)
		if len(l.NotLured()) == 0 {
			t.Errorf("%s: the checker does not find it", name)
		}
	}
}

// TestEveryBreachIsFound shows each checker every kind of breach that it is there for.
func TestEveryBreachIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breach func(*check.Evidence)
		check  func(check.Evidence) check.Violations
	}{
		"no outcome":             {func(e *check.Evidence) { e.Events = e.Events[:2] }, check.Evidence.OneOutcome},
		"two outcomes":           {func(e *check.Evidence) { e.Events = append(e.Events, e.Events[2]) }, check.Evidence.OneOutcome},
		"event after outcome":    {func(e *check.Evidence) { e.Events = append(e.Events, e.Events[0]) }, check.Evidence.OneOutcome},
		"object twice":           {func(e *check.Evidence) { e.Objects = append(e.Objects, e.Objects[0]) }, check.Evidence.OnceAtTheVendor},
		"success without object": {func(e *check.Evidence) { e.Objects = e.Objects[:1] }, check.Evidence.OnceAtTheVendor},
		"failure with object":    {func(e *check.Evidence) { e.Events[2].State = "failed" }, check.Evidence.OnceAtTheVendor},
		"overtaken":              {func(e *check.Evidence) { e.Objects[0].Created = 9 }, check.Evidence.InOrder},
		"row altered":            {func(e *check.Evidence) { e.Live["operations"][1] = "x" }, check.Evidence.RowsEqualReplay},
		"row missing":            {func(e *check.Evidence) { e.Live["operations"] = e.Live["operations"][:1] }, check.Evidence.RowsEqualReplay},
		"no rows":                {func(e *check.Evidence) { e.Live = nil }, check.Evidence.RowsEqualReplay},
		"secret":                 {func(e *check.Evidence) { e.Texts[0].Text = "password hunter2" }, check.Evidence.NoSecret},
		"nothing searched":       {func(e *check.Evidence) { e.Texts = nil }, check.Evidence.NoSecret},
		"vanished":               {func(e *check.Evidence) { e.Dead = nil }, check.Evidence.NothingVanishes},
		"crash":                  {func(e *check.Evidence) { e.Panics = []string{"panic: x"} }, check.Evidence.NothingVanishes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sound()
			c.breach(&e)
			if len(c.check(e)) == 0 {
				t.Error("the checker does not find it")
			}
		})
	}
}
