package provision

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/docker/go-units"
	"gopkg.in/yaml.v3"

	"github.com/mailwright/mailwright/pkg/topology"
)

// Forever is how the age of a stream is written that keeps its messages for ever, and Unlimited the
// size of one that may have any size.
const (
	Forever   = "forever"
	Unlimited = "unlimited"
)

// Limits reads the limits of streams from the section streams of a configuration file; "" is no
// file. The error names the line, and for a value out of its bounds the reason.
//
//	streams:
//	  COMMANDS: {maxAge: 336h, maxBytes: 20GiB}
//	  EVENTS: {maxAge: forever, maxBytes: unlimited}
func Limits(path string) (map[string]topology.Limit, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	var file struct {
		Streams map[string]limit `yaml:"streams"`
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("config file %s: section streams: %w", path, err)
	}
	limits := map[string]topology.Limit{}
	var errs []error
	for name, l := range file.Streams {
		limits[name] = topology.Limit(l)
		errs = append(errs, topology.CheckLimit(name, limits[name]))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("config file %s: section streams: %w", path, err)
	}
	return limits, nil
}

type limit topology.Limit

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *limit) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: each stream has members, such as COMMANDS: {maxAge: 336h, maxBytes: 20GiB}", n.Line)
	}
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i].Value, n.Content[i+1]
		var err error
		switch name {
		case "maxAge":
			l.MaxAge, err = parseAge(value.Value)
		case "maxBytes":
			l.MaxBytes, err = parseBytes(value.Value)
		default:
			err = errors.New("there is no such member: a stream has maxAge and maxBytes")
		}
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", value.Line, name, err)
		}
	}
	return nil
}

func parseAge(text string) (*time.Duration, error) {
	if text == Forever {
		return new(time.Duration), nil
	}
	age, err := time.ParseDuration(text)
	if err != nil || age <= 0 {
		return nil, fmt.Errorf("%q is no age: write one such as 720h, or %s", text, Forever)
	}
	return &age, nil
}

func parseBytes(text string) (*int64, error) {
	if text == Unlimited {
		return new(int64), nil
	}
	size, err := units.RAMInBytes(text)
	if err != nil || size <= 0 {
		return nil, fmt.Errorf("%q is no size: write one such as 20GiB or a number of bytes, or %s", text, Unlimited)
	}
	return &size, nil
}
