package check_test

import (
	"slices"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/guarantees/internal/check"
	"github.com/mailwright/mailwright/services/internal/replay"
)

// start is when the first command of [sound] was published.
var start = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// sound is the evidence of a system that keeps every promise.
func sound() check.Evidence {
	return check.Evidence{
		Commands: []check.Command{
			{OperationID: "a", Key: "k", Number: 1, Writes: true, NotRepeatable: true, Published: start.Add(time.Second)},
			{OperationID: "b", Key: "k", Number: 2, Writes: true, NotRepeatable: true, Published: start.Add(2 * time.Second)},
			{OperationID: "due", Key: "k", Writes: true, NotRepeatable: true, Published: start, NotBefore: start.Add(time.Minute)},
			{OperationID: "not due", Key: "tenant/k", Want: "cancelled", Published: start, NotBefore: start.Add(time.Hour)},
		},
		Events: []check.Event{
			{OperationID: "a", Type: "started", State: "started"}, {OperationID: "a", Type: "created", State: "succeeded", Terminal: true},
			{OperationID: "b", Type: "created", State: "succeeded", Terminal: true},
			{OperationID: "c", Type: "rejected", State: "rejected", Terminal: true},
			{OperationID: "due", Type: "created", State: "succeeded", Terminal: true},
			{OperationID: "not due", Type: "cancelled", State: "cancelled", Terminal: true},
		},
		Effects:      []check.Effect{{OperationID: "a", At: 5}, {OperationID: "b", At: 6}, {OperationID: "due", At: 7, Time: start.Add(time.Minute)}},
		Unauthorized: []check.UnauthorizedCommand{{Kind: "a cancel", OperationID: "c", Target: "a"}},
		Twins:        [][2]string{{"a", "b"}}, Scheduled: []string{"not due"},
		Resent: []check.Resent{{OperationID: "a", First: 1, Second: 9}},
		Texts:  []check.Text{{Source: "a log", Text: "created"}}, Secrets: []string{"hunter2"},
		Malformed:   []check.Malformed{{Kind: "garbage", Sequence: 7, Want: "unreadable"}, {Kind: "wrong data", Sequence: 8, OperationID: "c", Want: "rejected"}},
		DeadLetters: []check.DeadLetter{{Sequence: 7, Reason: "unreadable"}},
		Bombs:       check.Bombs{Messages: 10, Bytes: 1 << 20, CPU: time.Second / 10, Alone: time.Millisecond, Behind: 20 * time.Millisecond},
		Deliveries:  []check.Deliveries{{Consumer: "directory-0", Messages: 3, Delivered: 4}},
		Scanned:     map[string]string{"1": "alex"}, Observed: map[string]string{"1": "alex"},
		Points: []check.Point{{Service: "directory-svc", Step: "perform", Hit: true}}, Faults: map[string]int{"kill": 1}, Kills: 1, MinKills: 1,
		Rows: replay.Report{Tables: []replay.Table{{Name: "operations", Live: replay.Sum{Rows: 2}}}},
	}
}

func TestSoundEvidenceHasNoViolation(t *testing.T) {
	t.Parallel()
	e := sound()
	for name, v := range map[string]check.Violations{
		"G1": e.OneOutcome(), "G2": e.OnceAtTheVendor(), "G3": e.InOrder(), "G5": e.RowsEqualReplay(), "G6": e.NoSecret(), "G7": e.NothingVanishes(), "G9": e.TenantsAreApart(),
		"the inventory": e.InventoryIsTrue(), "the attack": e.MissingAttacks(),
	} {
		if len(v) > 0 {
			t.Errorf("%s: %v", name, v)
		}
	}
}

// TestLateRequestMustBeReportedAsDrift: a request takes effect after its replica lost the lease.
// Its target is read back, and the difference is reported.
func TestLateRequestMustBeReportedAsDrift(t *testing.T) {
	t.Parallel()
	e := sound()
	e.Effects[0].At = 9
	e.ReadBack = map[string]bool{"a": true}
	e.Drift = map[string]bool{"b": true}
	if v := e.InOrder(); len(v) > 0 {
		t.Error(v)
	}
}

func TestNoDelay(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	e := check.Evidence{
		Commands: []check.Command{{OperationID: "alone"}, {OperationID: "slow"}, {OperationID: "beside"}},
		Events: []check.Event{
			{OperationID: "alone", State: "succeeded", Terminal: true, Stored: at(4 * time.Second)},
			{OperationID: "beside", State: "succeeded", Terminal: true, Stored: at(27 * time.Second)},
			{OperationID: "slow", State: "succeeded", Terminal: true, Stored: at(40 * time.Second)},
		},
	}
	d := check.Delay{Alone: []string{"alone"}, Beside: []string{"beside"}, Slow: []string{"slow"}, AloneSince: start, BesideSince: at(10 * time.Second)}
	if v := e.NoDelay(d); len(v) > 0 { // 17 s, and 4 alone
		t.Error(v)
	}
	for name, violate := range map[string]func(*check.Evidence, *check.Delay){
		"delayed":         func(e *check.Evidence, _ *check.Delay) { e.Events[1].Stored = at(28 * time.Second) },
		"never":           func(e *check.Evidence, _ *check.Delay) { e.Events[1].Terminal = false },
		"slow for ever":   func(e *check.Evidence, _ *check.Delay) { e.Events[2].Terminal = false },
		"nothing slow":    func(_ *check.Evidence, d *check.Delay) { d.Slow = nil },
		"not slow enough": func(e *check.Evidence, _ *check.Delay) { e.Events[2].Stored = at(9 * time.Second) },
		"no control":      func(_ *check.Evidence, d *check.Delay) { d.Alone = nil },
	} {
		broken, d := e, d
		broken.Events = slices.Clone(e.Events)
		violate(&broken, &d)
		if len(broken.NoDelay(d)) == 0 {
			t.Errorf("%s: the checker does not find it", name)
		}
	}
}

func TestHostileVendorDidNoHarm(t *testing.T) {
	t.Parallel()
	sound := check.HostileVendor{Tried: []string{"redirect"}, PeakBytes: 1, LimitBytes: 2}
	if v := sound.DidNoHarm(); len(v) > 0 {
		t.Error(v)
	}
	for name, violate := range map[string]func(*check.HostileVendor){
		"nothing tried":   func(h *check.HostileVendor) { h.Tried = nil },
		"elsewhere":       func(h *check.HostileVendor) { h.Elsewhere = 1 },
		"grown":           func(h *check.HostileVendor) { h.PeakBytes = 3 },
		"no failure text": func(h *check.HostileVendor) { h.Unanswered = []string{"a"} },
	} {
		h := sound
		violate(&h)
		if len(h.DidNoHarm()) == 0 {
			t.Errorf("%s: the checker does not find it", name)
		}
	}
}

// TestEveryViolationIsFound shows each checker every kind of violation that it must find.
func TestEveryViolationIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		violate func(*check.Evidence)
		check   func(check.Evidence) check.Violations
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
		"mailbox not observed":     {func(e *check.Evidence) { e.Observed = nil }, check.Evidence.InventoryIsTrue},
		"mailbox observed wrong":   {func(e *check.Evidence) { e.Observed["1"] = "bob" }, check.Evidence.InventoryIsTrue},
		"mailbox invented":         {func(e *check.Evidence) { e.Observed["2"] = "bob" }, check.Evidence.InventoryIsTrue},
		"no mailboxes":             {func(e *check.Evidence) { e.Scanned, e.Observed = nil, nil }, check.Evidence.InventoryIsTrue},
		"overtaken":                {func(e *check.Evidence) { e.Effects[0].At = 9 }, check.Evidence.InOrder},
		"overtaken, no drift":      {func(e *check.Evidence) { e.Effects[0].At, e.ReadBack = 9, map[string]bool{"a": true} }, check.Evidence.InOrder},
		"overtaken, not read back": {func(e *check.Evidence) { e.Effects[0].At, e.Drift = 9, map[string]bool{"b": true} }, check.Evidence.InOrder},
		"nothing in order":         {func(e *check.Evidence) { e.Effects = nil }, check.Evidence.InOrder},
		"step not hit":             {func(e *check.Evidence) { e.Points[0].Hit = false }, check.Evidence.MissingAttacks},
		"fault missing":            {func(e *check.Evidence) { e.Faults["kill"] = 0 }, check.Evidence.MissingAttacks},
		"kills missing":            {func(e *check.Evidence) { e.MinKills = 2 }, check.Evidence.MissingAttacks},
		"hot loop":                 {func(e *check.Evidence) { e.Deliveries[0].Delivered = 1000 }, check.Evidence.NothingVanishes},
		"deliveries uncounted":     {func(e *check.Evidence) { e.Deliveries = nil }, check.Evidence.NothingVanishes},
		"row altered":              {func(e *check.Evidence) { e.Rows.Tables[0].Differences = 1 }, check.Evidence.RowsEqualReplay},
		"row missing": {func(e *check.Evidence) {
			e.Rows.Tables[0].Differences, e.Rows.Tables[0].Examples = 1, []replay.Difference{{Kind: replay.Missing}}
		}, check.Evidence.RowsEqualReplay},
		"no rows":          {func(e *check.Evidence) { e.Rows.Tables = nil }, check.Evidence.RowsEqualReplay},
		"secret":           {func(e *check.Evidence) { e.Texts[0].Text = "password hunter2" }, check.Evidence.NoSecret},
		"nothing searched": {func(e *check.Evidence) { e.Texts = nil }, check.Evidence.NoSecret},
		"vanished":         {func(e *check.Evidence) { e.DeadLetters = nil }, check.Evidence.NothingVanishes},
		"wrong reason":     {func(e *check.Evidence) { e.DeadLetters[0].Reason = "expired" }, check.Evidence.NothingVanishes},
		"not rejected":     {func(e *check.Evidence) { e.Events[3].State = "succeeded" }, check.Evidence.NothingVanishes},
		"bombs unmeasured": {func(e *check.Evidence) { e.Bombs = check.Bombs{} }, check.Evidence.NothingVanishes},
		"bombs burn":       {func(e *check.Evidence) { e.Bombs.CPU = time.Minute }, check.Evidence.NothingVanishes},
		"bombs block":      {func(e *check.Evidence) { e.Bombs.Behind = time.Minute }, check.Evidence.NothingVanishes},
		"too early":        {func(e *check.Evidence) { e.Effects[2].Time = start.Add(59 * time.Second) }, check.Evidence.InOrder},
		"due, and overtaken": {func(e *check.Evidence) {
			e.Commands[0].Published = start.Add(2 * time.Minute)
		}, check.Evidence.InOrder},
		"cancelled by another":       {func(e *check.Evidence) { e.Events[1].State = "cancelled" }, check.Evidence.TenantsAreApart},
		"a cancel succeeds":          {func(e *check.Evidence) { e.Events[3].State = "succeeded" }, check.Evidence.TenantsAreApart},
		"one twin":                   {func(e *check.Evidence) { e.Twins[0][1] = "a" }, check.Evidence.TenantsAreApart},
		"a twin unanswered":          {func(e *check.Evidence) { e.Twins[0][1] = "never" }, check.Evidence.TenantsAreApart},
		"delayed by a scheduled one": {func(e *check.Evidence) { e.Events[1], e.Events[5] = e.Events[5], e.Events[1] }, check.Evidence.TenantsAreApart},
		"nobody behind":              {func(e *check.Evidence) { e.Commands[3].Key = "l" }, check.Evidence.TenantsAreApart},
		"nobody tried":               {func(e *check.Evidence) { e.Unauthorized = nil }, check.Evidence.TenantsAreApart},
		"crash":                      {func(e *check.Evidence) { e.Panics = []string{"panic: x"} }, check.Evidence.NothingVanishes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sound()
			c.violate(&e)
			if len(c.check(e)) == 0 {
				t.Error("the checker does not find it")
			}
		})
	}
}
