// Package state is the one tenant that all the simulated APIs look at: directories, mailboxes,
// mail stores, EnPower's views, issued tokens. One lock guards it. A change is written to the
// log before the call that made it is answered, so it outlives the process.
package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/seed"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// World is the tenant. Make one with [Open].
type World struct {
	Switches *switches.Values

	mu         sync.RWMutex
	seedText   []byte
	seed       *seed.Seed
	objects    *table[*Object]
	mailboxes  *table[*Mailbox]
	groups     *table[*Group]
	stores     *table[*Store]
	views      *table[*View]
	tokens     *table[*Token]
	approvals  *table[*Approval]
	billing    *table[*BillingEvent]
	settings   *table[*Setting]
	byName     map[string]replayer
	unscanned  map[string]bool // mailboxes changed since EnPower's last scan
	offset     time.Duration   // the sandbox clock's lead over the machine's
	population Population
	log        *os.File // nil: nothing outlives the process
}

type replayer interface {
	replay(key string, value json.RawMessage) error
}

// Population is how many mailboxes EnPower makes up beside the real ones.
type Population struct {
	Count        int    `json:"count"`
	TenantID     string `json:"tenantId"`
	TenantDomain string `json:"tenantDomain"`
	// Changed and Removed are shares of them, 0 to 1: those that have an item more than they would
	// otherwise, and those that are not listed. A larger share includes the mailboxes of a smaller
	// one.
	Changed float64 `json:"changed"`
	Removed float64 `json:"removed"`
}

// Origin is the vendor call that a change came from; its zero value is the sandbox itself.
type Origin struct {
	Sequence uint64    `json:"sequence"`
	Vendor   string    `json:"vendor"`
	Call     string    `json:"call"`
	Target   string    `json:"target,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	At       time.Time `json:"at"`
}

// line is one line of the log: a new beginning from a seed, or one committed change.
type line struct {
	Seed    string   `json:"seed,omitempty"`
	Origin  *Origin  `json:"origin,omitempty"`
	Changes []change `json:"changes,omitempty"`
}

// change is one row put or, without a value, deleted.
type change struct {
	Table string `json:"t"`
	Key   string `json:"k"`
	Value any    `json:"v,omitempty"`
}

// storedLine is a line as it is read back, its values not yet decoded.
type storedLine struct {
	Seed    string  `json:"seed"`
	Origin  *Origin `json:"origin"`
	Changes []struct {
		Table string          `json:"t"`
		Key   string          `json:"k"`
		Value json.RawMessage `json:"v"`
	} `json:"changes"`
}

// Open makes the world out of a seed, or, where the log file exists already, out of the log;
// then the seed in the log counts. An empty path keeps the world in memory only. Each vendor
// call found in the log is told to restored.
func Open(seedText []byte, path string, restored func(Origin)) (*World, error) {
	w := &World{Switches: switches.New()}
	if path == "" {
		return w, w.begin(seedText)
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the state file: %w", err)
	}
	whole, err := w.replayAll(old, restored)
	if err != nil {
		return nil, fmt.Errorf("read the state file: %w", err)
	}
	w.log, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the state file: %w", err)
	}
	// A kill in mid-write leaves a torn last line, whose call was never answered.
	if err := w.log.Truncate(int64(whole)); err != nil {
		return nil, fmt.Errorf("cut the state file's torn last line: %w", err)
	}
	if whole == 0 {
		return w, w.Reset(seedText)
	}
	return w, nil
}

// replayAll applies the whole lines and returns where they end.
func (w *World) replayAll(log []byte, restored func(Origin)) (int, error) {
	whole := 0
	for {
		end := bytes.IndexByte(log[whole:], '\n')
		if end < 0 {
			return whole, nil
		}
		var l storedLine
		if err := json.Unmarshal(log[whole:whole+end], &l); err != nil {
			return 0, fmt.Errorf("at byte %d: %w", whole, err)
		}
		if err := w.apply(l); err != nil {
			return 0, fmt.Errorf("at byte %d: %w", whole, err)
		}
		if l.Origin != nil && restored != nil {
			restored(*l.Origin)
		}
		whole += end + 1
	}
}

func (w *World) apply(l storedLine) error {
	if l.Seed != "" {
		return w.begin([]byte(l.Seed))
	}
	for _, c := range l.Changes {
		t, ok := w.byName[c.Table]
		if !ok {
			return fmt.Errorf("no table %q", c.Table)
		}
		if err := t.replay(c.Key, c.Value); err != nil {
			return err
		}
		if c.Table == w.settings.name {
			if err := w.applySettings(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Reset forgets everything and begins again from the seed, or from the present one if nil.
func (w *World) Reset(seedText []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seedText == nil {
		seedText = w.seedText
	}
	// A seed that is wrong somewhere must not cost the present tenant: try it on another world.
	if err := (&World{Switches: switches.New()}).begin(seedText); err != nil {
		return err
	}
	if err := w.begin(seedText); err != nil {
		return err
	}
	return w.write(line{Seed: string(seedText)})
}

// Close closes the log. The world must not be changed afterwards.
func (w *World) Close() error {
	if w.log == nil {
		return nil
	}
	return w.log.Close()
}

func (w *World) write(l line) error {
	if w.log == nil {
		return nil
	}
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = w.log.Write(append(text, '\n'))
	return err
}

// Now is the sandbox's clock, in UTC.
func (w *World) Now() time.Time {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.now()
}

func (w *World) now() time.Time { return time.Now().Add(w.offset).UTC() }

// Seed is the present seed; it is never changed in place.
func (w *World) Seed() *seed.Seed {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.seed
}

// View reads the world.
func (w *World) View(read func(*Tx)) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	read(&Tx{world: w})
}

// Update changes the world: all that write did, or, where it returns an error, nothing.
func (w *World) Update(origin Origin, write func(*Tx) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	tx := &Tx{world: w}
	if err := write(tx); err != nil {
		tx.undo()
		return err
	}
	if len(tx.changes) == 0 {
		return nil
	}
	l := line{Changes: tx.changes}
	if origin.Vendor != "" {
		l.Origin = &origin
	}
	if err := w.write(l); err != nil {
		tx.undo()
		return fmt.Errorf("write the state file: %w", err)
	}
	if tx.settings {
		return w.applySettings()
	}
	return nil
}

// AdvanceClock moves the sandbox's clock forward.
func (w *World) AdvanceClock(by time.Duration) error {
	return w.Update(Origin{}, func(tx *Tx) error { return tx.putSetting("clock", w.offset+by) })
}

// SetSwitches changes switches; an unknown name or a wrong value changes none.
func (w *World) SetSwitches(settings map[string]any) error {
	if _, err := switches.Check(settings); err != nil {
		return err
	}
	return w.Update(Origin{}, func(tx *Tx) error {
		all := w.Switches.All()
		for name, value := range settings {
			all[name] = value
		}
		return tx.putSetting("switches", all)
	})
}

// SetPopulation says how many mailboxes EnPower makes up.
func (w *World) SetPopulation(p Population) error {
	return w.Update(Origin{}, func(tx *Tx) error { return tx.putSetting("population", p) })
}

// Population is how many mailboxes EnPower makes up.
func (w *World) Population() Population {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.population
}

// applySettings brings the fields in line with the settings table.
func (w *World) applySettings() error {
	for _, s := range w.settings.rows {
		var err error
		switch s.Name {
		case "clock":
			err = json.Unmarshal(s.Value, &w.offset)
		case "population":
			err = json.Unmarshal(s.Value, &w.population)
		case "switches":
			var all map[string]any
			if err = json.Unmarshal(s.Value, &all); err == nil {
				err = w.Switches.Set(all)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeNumbers(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}
