package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/schemas"
	"github.com/mailwright/mailwright/services/internal/render"
	"github.com/mailwright/mailwright/services/mailwright/internal/apptest"
)

// tableRows are the rows of a page's table, cell by cell; nil where the page has no such table.
func tableRows(page, header string) (rows [][]string) {
	_, rest, found := strings.Cut(page, header+"\n")
	if !found {
		return nil
	}
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows = append(rows, strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | "))
	}
	return rows[1:] // the first is the rule below the header
}

var quoted = regexp.MustCompile("`([^`]+)`")

// namesIn are the texts in backquotes.
func namesIn(cell string) (names []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		names = append(names, m[1])
	}
	return names
}

// names reports whether one of the patterns is a type, or stands for its domain: delegation.*.
func names(patterns []string, short string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, all := strings.CutSuffix(p, "*")
		return p == short || all && strings.HasPrefix(short, prefix)
	})
}

// TestEveryCommandTypeStandsInTheTables: in README's table of commands, in the table of keys of
// docs/contract.md, and in the same table of the help of `mailwright send`.
func TestEveryCommandTypeStandsInTheTables(t *testing.T) {
	t.Parallel()
	all := pages(t)
	firstColumn := func(page, header string) (list []string) {
		for _, row := range tableRows(all[page], header) {
			list = append(list, namesIn(row[0])...)
		}
		return list
	}
	for where, listed := range map[string][]string{
		"README.md, 'The contract'":     firstColumn("../../README.md", commandsHeader),
		"docs/contract.md, 'The key'":   firstColumn("../../docs/contract.md", "| type | recommended key |"),
		"the help of `mailwright send`": keysOfHelp(helpOf(t, "send")),
	} {
		for _, command := range event.CommandTypes() {
			if !names(listed, render.Short(command)) {
				t.Errorf("%s has no row of %s", where, render.Short(command))
			}
		}
		for _, name := range listed {
			if !strings.HasSuffix(name, ".*") && !event.IsCommand(render.Long(name)) {
				t.Errorf("%s has a row of %s, which is no type of a command", where, name)
			}
		}
	}
}

// helpOf is the text of a command's help.
func helpOf(t *testing.T, command string) string {
	t.Helper()
	for _, node := range parser(t).Model.Leaves(false) {
		if node.Name == command {
			return node.Detail
		}
	}
	t.Fatalf("there is no command %s", command)
	return ""
}

// keysOfHelp are the types in a help's list of types and keys.
func keysOfHelp(help string) (types []string) {
	for line := range strings.Lines(help) {
		if m := typeAndKey.FindStringSubmatch(line); m != nil {
			types = append(types, m[1])
		}
	}
	return types
}

var typeAndKey = regexp.MustCompile(`^ +([a-z.]+\.[a-z*]+)  +\S`)

const commandsHeader = "| command `io.mailwright.….v1` | carried out by | success `io.mailwright.….v1` |"

// TestEverySuccessNamesItsCommands holds README's table of commands against the types of results:
// each success has a row, and the description in its schema names the commands of that row.
func TestEverySuccessNamesItsCommands(t *testing.T) {
	t.Parallel()
	commandsOf := map[string][]string{}
	for _, row := range tableRows(pages(t)["../../README.md"], commandsHeader) {
		for _, success := range namesIn(row[2]) {
			if commands := namesIn(row[0]); len(commands) > 0 && success[0] != '.' {
				commandsOf[success] = append(commandsOf[success], commands...)
			}
		}
	}
	for _, result := range event.ResultTypes() {
		short := render.Short(result)
		e := apptest.Example(t, result)
		state, ok := event.StateOf(e)
		if !ok || state != event.StateSucceeded || result == event.PlannedType(event.DomainOf(result)) {
			continue
		}
		if len(commandsOf[short]) == 0 {
			t.Errorf("README.md, 'The contract', has no command that succeeds with %s", short)
		}
		var schema struct{ Description string }
		raw, err := schemas.FS.ReadFile(result + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &schema); err != nil {
			t.Fatal(err)
		}
		for _, command := range commandsOf[short] {
			if !strings.Contains(schema.Description, command) {
				t.Errorf("schemas/%s.json: the description does not name %s, which succeeds with it as README.md says", result, command)
			}
		}
	}
}
