package check_test

import (
	"testing"

	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/internal/replay"
)

// sound is evidence of a system that keeps every promise.
func sound() check.Evidence {
	return check.Evidence{
		Commands: []check.Command{{OperationID: "a", Key: "k", Number: 1, Writes: true, Once: true}, {OperationID: "b", Key: "k", Number: 2, Writes: true, Once: true}},
		Events: []check.Event{
			{OperationID: "a", Type: "started", State: "started"}, {OperationID: "a", Type: "created", State: "succeeded", Terminal: true},
			{OperationID: "b", Type: "created", State: "succeeded", Terminal: true},
		},
		Effects: []check.Effect{{OperationID: "a", At: 5}, {OperationID: "b", At: 6}},
		Resent:  []check.Resent{{OperationID: "a", First: 1, Second: 9}},
		Texts:   []check.Text{{Where: "a log", Text: "created"}}, Secrets: []string{"hunter2"},
		Poison: []check.Poison{{Sequence: 7}}, Dead: []uint64{7},
		Deliveries: []check.Deliveries{{Consumer: "directory-0", Messages: 3, Delivered: 4}},
		Scanned:    map[string]string{"1": "alex"}, Told: map[string]string{"1": "alex"},
		Points: []check.Point{{Service: "directory-svc", Step: "perform", Hit: true}}, Faults: map[string]int{"kill": 1}, Kills: 1, LeastKills: 1,
		Rows: replay.Report{Tables: []replay.Table{{Name: "operations", Live: replay.Sum{Rows: 2}}}},
	}
}

func TestSoundEvidenceHasNoViolation(t *testing.T) {
	t.Parallel()
	e := sound()
	for name, v := range map[string]check.Violations{
		"G1": e.OneOutcome(), "G2": e.OnceAtTheVendor(), "G3": e.InOrder(), "G5": e.RowsEqualReplay(), "G6": e.NoSecret(), "G7": e.NothingVanishes(),
		"the inventory": e.InventoryIsTrue(), "the attack": e.Lacking(),
	} {
		if len(v) > 0 {
			t.Errorf("%s: %v", name, v)
		}
	}
}

// TestARequestThatHadLeftIsTold: its effect is read back, and what stands in the end is told as
// drift.
func TestARequestThatHadLeftIsTold(t *testing.T) {
	t.Parallel()
	e := sound()
	e.Effects[0].At, e.ReadBack, e.Drift = 9, map[string]bool{"a": true}, map[string]bool{"b": true}
	if v := e.InOrder(); len(v) > 0 {
		t.Error(v)
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
	e.Commands = append(e.Commands, check.Command{OperationID: "never"})
	if v := e.NoDelay("b"); len(v) != 1 {
		t.Error("an operation without an outcome is not found", v)
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
		"no outcome":               {func(e *check.Evidence) { e.Events = e.Events[:2] }, check.Evidence.OneOutcome},
		"two outcomes":             {func(e *check.Evidence) { e.Events = append(e.Events, e.Events[2]) }, check.Evidence.OneOutcome},
		"event after outcome":      {func(e *check.Evidence) { e.Events = append(e.Events, e.Events[0]) }, check.Evidence.OneOutcome},
		"nothing sent again":       {func(e *check.Evidence) { e.Resent = nil }, check.Evidence.OneOutcome},
		"resent in vain":           {func(e *check.Evidence) { e.Resent[0].Second = 1 }, check.Evidence.OneOutcome},
		"effect twice":             {func(e *check.Evidence) { e.Effects = append(e.Effects, e.Effects[0]) }, check.Evidence.OnceAtTheVendor},
		"success without effect":   {func(e *check.Evidence) { e.Effects = e.Effects[:1] }, check.Evidence.OnceAtTheVendor},
		"failure with effect":      {func(e *check.Evidence) { e.Events[2].State = "failed" }, check.Evidence.OnceAtTheVendor},
		"failure":                  {func(e *check.Evidence) { e.Events[2].State = "failed"; e.Effects = e.Effects[:1] }, check.Evidence.OnceAtTheVendor},
		"no effects":               {func(e *check.Evidence) { e.Commands, e.Effects = nil, nil }, check.Evidence.OnceAtTheVendor},
		"mailbox untold":           {func(e *check.Evidence) { e.Told = nil }, check.Evidence.InventoryIsTrue},
		"mailbox mistold":          {func(e *check.Evidence) { e.Told["1"] = "bob" }, check.Evidence.InventoryIsTrue},
		"mailbox invented":         {func(e *check.Evidence) { e.Told["2"] = "bob" }, check.Evidence.InventoryIsTrue},
		"no mailboxes":             {func(e *check.Evidence) { e.Scanned, e.Told = nil, nil }, check.Evidence.InventoryIsTrue},
		"overtaken":                {func(e *check.Evidence) { e.Effects[0].At = 9 }, check.Evidence.InOrder},
		"overtaken, and silence":   {func(e *check.Evidence) { e.Effects[0].At, e.ReadBack = 9, map[string]bool{"a": true} }, check.Evidence.InOrder},
		"overtaken, not read back": {func(e *check.Evidence) { e.Effects[0].At, e.Drift = 9, map[string]bool{"b": true} }, check.Evidence.InOrder},
		"nothing in order":         {func(e *check.Evidence) { e.Effects = nil }, check.Evidence.InOrder},
		"step not hit":             {func(e *check.Evidence) { e.Points[0].Hit = false }, check.Evidence.Lacking},
		"fault missing":            {func(e *check.Evidence) { e.Faults["kill"] = 0 }, check.Evidence.Lacking},
		"kills missing":            {func(e *check.Evidence) { e.LeastKills = 2 }, check.Evidence.Lacking},
		"hot loop":                 {func(e *check.Evidence) { e.Deliveries[0].Delivered = 1000 }, check.Evidence.NothingVanishes},
		"deliveries uncounted":     {func(e *check.Evidence) { e.Deliveries = nil }, check.Evidence.NothingVanishes},
		"row altered":              {func(e *check.Evidence) { e.Rows.Tables[0].Differences = 1 }, check.Evidence.RowsEqualReplay},
		"row missing": {func(e *check.Evidence) {
			e.Rows.Tables[0].Differences, e.Rows.Tables[0].Examples = 1, []replay.Difference{{Kind: replay.Missing}}
		}, check.Evidence.RowsEqualReplay},
		"no rows":          {func(e *check.Evidence) { e.Rows.Tables = nil }, check.Evidence.RowsEqualReplay},
		"secret":           {func(e *check.Evidence) { e.Texts[0].Text = "password hunter2" }, check.Evidence.NoSecret},
		"nothing searched": {func(e *check.Evidence) { e.Texts = nil }, check.Evidence.NoSecret},
		"vanished":         {func(e *check.Evidence) { e.Dead = nil }, check.Evidence.NothingVanishes},
		"crash":            {func(e *check.Evidence) { e.Panics = []string{"panic: x"} }, check.Evidence.NothingVanishes},
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
