package switches

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Values is one setting for each switch of the table. Safe for use by many goroutines.
type Values struct {
	mu  sync.RWMutex
	set map[string]any
}

// New gives every switch its default.
func New() *Values { return &Values{set: map[string]any{}} }

// Reset puts every switch back to its default.
func (v *Values) Reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.set = map[string]any{}
}

// Check reads settings as JSON or YAML gave them and names the first that is unknown or of a
// wrong type. It returns them in the table's own types and changes nothing.
func Check(settings map[string]any) (map[string]any, error) {
	checked := make(map[string]any, len(settings))
	for name, raw := range settings {
		entry, ok := find(name)
		if !ok {
			return nil, fmt.Errorf("no switch %q", name)
		}
		value, err := entry.convert(raw)
		if err != nil {
			return nil, err
		}
		checked[name] = value
	}
	return checked, nil
}

// Set changes the named switches, all of them or, where one is wrong, none.
func (v *Values) Set(settings map[string]any) error {
	checked, err := Check(settings)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, value := range checked {
		v.set[name] = value
	}
	return nil
}

// All is the present setting of every switch, ready for JSON.
func (v *Values) All() map[string]any {
	all := make(map[string]any, len(Table))
	for _, entry := range Table {
		value := v.get(entry.Name)
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		all[entry.Name] = value
	}
	return all
}

// On reads a boolean switch.
func (v *Values) On(name string) bool { return v.get(name).(bool) }

// Text reads a switch that names one of a few choices.
func (v *Values) Text(name string) string { return v.get(name).(string) }

// Span reads a switch that is a length of time.
func (v *Values) Span(name string) time.Duration { return v.get(name).(time.Duration) }

func (v *Values) get(name string) any {
	v.mu.RLock()
	value, ok := v.set[name]
	v.mu.RUnlock()
	if ok {
		return value
	}
	entry, ok := find(name)
	if !ok {
		panic("sandbox: no switch " + name)
	}
	return entry.Default
}

func find(name string) (Switch, bool) {
	entry, ok := byName[name]
	return entry, ok
}

func (s Switch) convert(raw any) (any, error) {
	switch s.Default.(type) {
	case bool:
		if b, ok := raw.(bool); ok {
			return b, nil
		}
		return nil, fmt.Errorf("switch %s wants true or false", s.Name)
	case time.Duration:
		text, ok := raw.(string)
		if !ok {
			return nil, fmt.Errorf("switch %s wants a duration such as \"2s\"", s.Name)
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return nil, fmt.Errorf("switch %s wants a duration such as \"2s\"", s.Name)
		}
		return d, nil
	default:
		text, ok := raw.(string)
		if !ok || !slices.Contains(s.Choices, text) {
			return nil, fmt.Errorf("switch %s wants one of %q", s.Name, s.Choices)
		}
		return text, nil
	}
}
