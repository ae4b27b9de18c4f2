package permissions

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mailwright/mailwright/pkg/event"
)

// Table writes the permissions as Markdown: a section for each user, a row for each purpose.
// Subjects that differ in the number of a partition alone stand there once, with <p> in its place.
func Table(users []User) string {
	var w strings.Builder
	for _, u := range users {
		fmt.Fprintf(&w, "### `%s`: %s\n\n", u.Name, u.Role)
		w.WriteString("| may | subjects | for |\n|---|---|---|\n")
		for _, part := range []struct {
			verb  string
			rules []Rule
		}{{"publish", u.Publish}, {"not publish", u.Deny}, {"subscribe", u.Subscribe}} {
			for _, row := range rows(part.rules) {
				fmt.Fprintf(&w, "| %s | %s | %s |\n", part.verb, row.subjects, row.why)
			}
		}
		w.WriteString("\n")
	}
	return strings.TrimSuffix(w.String(), "\n")
}

type row struct{ why, subjects string }

// rows are a user's rules by purpose, in the order in which the purposes first appear.
func rows(rules []Rule) []row {
	var list []row
	bySubject := map[string][]string{}
	for _, r := range rules {
		if _, known := bySubject[r.Why]; !known {
			list = append(list, row{why: r.Why})
		}
		if s := "`" + collapse(r.Subject) + "`"; !slices.Contains(bySubject[r.Why], s) {
			bySubject[r.Why] = append(bySubject[r.Why], s)
		}
	}
	for i, r := range list {
		list[i].subjects = strings.Join(bySubject[r.why], "<br>")
	}
	return list
}

var (
	domains   = strings.ReplaceAll(strings.Trim(fmt.Sprint(event.Domains()), "[]"), " ", "|")
	partition = regexp.MustCompile(`\b(` + domains + `)(-odd-|[-.])\d+\b`)
)

// collapse puts <p> in place of a partition's number, in the name of a consumer and in a filter.
func collapse(subject string) string { return partition.ReplaceAllString(subject, "$1$2<p>") }
