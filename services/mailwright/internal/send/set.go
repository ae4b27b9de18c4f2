package send

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// set puts the value of an assignment PATH=VALUE into a JSON document, and makes what is missing on
// the way. PATH is members and positions with dots between, or a JSON Pointer as faults name it. A
// position may be at most one beyond a list's end. VALUE is JSON where it can be read as JSON, else
// text.
func set(doc any, assignment string) (any, error) {
	path, text, ok := strings.Cut(assignment, "=")
	if !ok || path == "" {
		return nil, errors.New("an assignment must be PATH=VALUE") // the text itself may be a secret
	}
	value, err := decode([]byte(text))
	if err != nil {
		value = text
	}
	doc, err = put(doc, segments(path), value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return doc, nil
}

func segments(path string) []string {
	pointer, ok := strings.CutPrefix(path, "/")
	if !ok {
		return strings.Split(path, ".")
	}
	list := strings.Split(pointer, "/")
	for i, s := range list {
		list[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
	}
	return list
}

func put(doc any, path []string, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	position, err := strconv.Atoi(path[0])
	isPosition := err == nil
	if doc == nil && isPosition {
		doc = []any{}
	} else if doc == nil {
		doc = map[string]any{}
	}
	switch doc := doc.(type) {
	case map[string]any:
		member, err := put(doc[path[0]], path[1:], value)
		doc[path[0]] = member
		return doc, err
	case []any:
		if !isPosition || position < 0 || position > len(doc) {
			return nil, fmt.Errorf("%q is no position in a list of %d", path[0], len(doc))
		}
		if position == len(doc) {
			doc = append(doc, nil)
		}
		member, err := put(doc[position], path[1:], value)
		doc[position] = member
		return doc, err
	default:
		return nil, fmt.Errorf("%q stands within %s, which has no members", path[0], kind(doc))
	}
}

func kind(v any) string {
	switch v.(type) {
	case string:
		return "a text"
	case json.Number:
		return "a number"
	default:
		return "true or false"
	}
}
