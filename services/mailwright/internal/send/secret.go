package send

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/services/internal/render"
)

// onCommandLine says why a secret is refused there, and where it belongs.
const onCommandLine = "which the shell's history and the list of processes would show: " +
	"write it to a file and give --data @FILE, or pipe it to --data -"

// hasSecret tells whether data of the command's type holds a secret that is not sealed.
func (c *Command) hasSecret(doc any) bool {
	return slices.ContainsFunc(c.secrets(doc), func(text string) bool { return !event.IsSealed(text) })
}

// secretSet gives the path of an assignment that puts a secret into the data; "" for none. doc has
// all assignments applied.
func (c *Command) secretSet(doc any) string {
	const mark = "mailwright:this stands in a secret's place" // in the place of a value of any JSON type
	for _, assignment := range c.Set {
		path, text, _ := strings.Cut(assignment, "=")
		if event.IsSealed(text) {
			continue
		}
		if value, err := decode([]byte(text)); err == nil && c.hasSecret(onlyMember(path, value)) {
			return path // an object or a list that holds a secret
		}
		marked, err := put(deepCopy(doc), segments(path), mark)
		if err == nil && slices.Contains(c.secrets(marked), mark) {
			return path
		}
	}
	return ""
}

// onlyMember is a document with the last member of a path alone.
func onlyMember(path string, value any) any {
	segments := segments(path)
	return map[string]any{segments[len(segments)-1]: value}
}

// secrets lists the secret texts in data of the command's type: what its schema says, and what is
// named like a secret where the data does not fit it.
func (c *Command) secrets(doc any) []string {
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil
	}
	e, err := event.New("x", "/x", render.Long(c.Type), json.RawMessage(raw))
	if err != nil {
		return nil
	}
	return append(event.Read(e).Secrets(), event.Secrets(raw)...)
}

// deepCopy copies a JSON document, so that put does not change the original.
func deepCopy(doc any) any {
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil
	}
	again, err := decode(raw)
	if err != nil {
		return nil
	}
	return again
}
