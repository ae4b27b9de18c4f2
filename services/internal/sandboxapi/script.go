package sandboxapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"

	"gopkg.in/yaml.v3"
)

// Script is a file that says what goes wrong: switches to set, then faults to add, in order.
type Script struct {
	// About says in a sentence what the script shows.
	About    string         `yaml:"about"`
	Switches map[string]any `yaml:"switches"`
	Faults   []Fault        `yaml:"faults"`
}

// Fault is one rule of the control API; docs/sandbox.md lists kinds and params.
type Fault struct {
	Vendor      string   `yaml:"vendor" json:"vendor,omitempty"`
	Call        string   `yaml:"call" json:"call,omitempty"`
	Match       string   `yaml:"match" json:"match,omitempty"`
	Kind        string   `yaml:"kind" json:"kind"`
	Count       int      `yaml:"count" json:"count,omitempty"`
	Probability *float64 `yaml:"probability" json:"probability,omitempty"`
	Params      Params   `yaml:"params" json:"params"`
}

// Params are what a kind of fault needs beside its name.
type Params struct {
	Delay      string `yaml:"delay" json:"delay,omitempty"`
	Hold       string `yaml:"hold" json:"hold,omitempty"`
	Status     int    `yaml:"status" json:"status,omitempty"`
	RetryAfter string `yaml:"retryAfter" json:"retryAfter,omitempty"`
	Body       string `yaml:"body" json:"body,omitempty"`
	When       string `yaml:"when" json:"when,omitempty"`
}

// ReadScript reads a script strictly: an unknown member is an error that names its line.
func ReadScript(path string) (Script, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Script{}, err
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	var s Script
	if err := d.Decode(&s); err != nil {
		return Script{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(s.Faults)+len(s.Switches) == 0 {
		return Script{}, fmt.Errorf("%s: holds neither switches nor faults", path)
	}
	return s, nil
}

// At gives the script with every fault aimed at one vendor and call; "" leaves what the file says.
func (s Script) At(vendor, call string) Script {
	aimed := make([]Fault, len(s.Faults))
	for i, f := range s.Faults {
		if vendor != "" {
			f.Vendor = vendor
		}
		if call != "" {
			f.Call = call
		}
		aimed[i] = f
	}
	s.Faults = aimed
	return s
}

// Apply carries a script out.
func (c Client) Apply(ctx context.Context, s Script) error {
	if len(s.Switches) > 0 {
		if err := c.Do(ctx, http.MethodPut, "switches", s.Switches, nil); err != nil {
			return err
		}
	}
	for i, f := range s.Faults {
		if err := c.Do(ctx, http.MethodPost, "faults", f, nil); err != nil {
			return fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	return nil
}
