package event

import (
	"slices"
	"strings"
)

// ArrangeFaults puts faults into the order of [Check], each once, and keeps the list short enough
// for the message that tells them: beyond a hundred, the rest is counted. It sorts list itself.
func ArrangeFaults(list []Fault) []Fault {
	slices.SortFunc(list, func(a, b Fault) int { return strings.Compare(a.Field+"\x00"+a.Problem, b.Field+"\x00"+b.Problem) })
	return bounded(slices.Compact(list))
}
