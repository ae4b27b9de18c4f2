package event

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

func faults(err error) []Fault {
	if err == nil {
		return nil
	}
	v, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []Fault{{Field: "data", Problem: "cannot be held against its schema"}}
	}
	return leaves(v)
}

// sorted orders faults by their fields, and leaves each once.
func sorted(list []Fault) []Fault {
	slices.SortFunc(list, func(a, b Fault) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), strings.Compare(a.Problem, b.Problem))
	})
	return slices.Compact(list)
}

// ArrangeFaults puts faults into the order of [Check], each once, and keeps the list short enough
// for an event.
func ArrangeFaults(list []Fault) []Fault { return bounded(sorted(list)) }

// maxFaults is how many are told one by one: the answer must fit into a message.
const maxFaults = 100

func bounded(list []Fault) []Fault {
	if len(list) <= maxFaults {
		return list
	}
	return append(list[:maxFaults:maxFaults], Fault{Field: "data", Problem: fmt.Sprintf("has %d faults more", len(list)-maxFaults)})
}

// leaves walks to the errors that name a single field. The alternatives of an anyOf are one fault.
func leaves(v *jsonschema.ValidationError) []Fault {
	field := cmp.Or(pointer(v.InstanceLocation), "data")
	switch k := v.ErrorKind.(type) {
	case *kind.AnyOf:
		return []Fault{{Field: field, Problem: "needs one of: " + alternatives(v)}}
	case *kind.Required:
		return each(k.Missing, v, "is missing; it is required")
	case *kind.AdditionalProperties:
		return each(k.Properties, v, "is not known here; remove it or check its spelling")
	case *kind.DependentRequired:
		return each(k.Missing, v, "is missing; it is required together with "+k.Prop)
	}
	if len(v.Causes) > 0 {
		var list []Fault
		for _, c := range v.Causes {
			list = append(list, leaves(c)...)
		}
		return list
	}
	return []Fault{{Field: field, Problem: problem(v.ErrorKind)}}
}

func each(names []string, parent *jsonschema.ValidationError, problem string) []Fault {
	list := make([]Fault, len(names))
	for i, n := range names {
		list[i] = Fault{Field: pointer(parent.InstanceLocation) + pointer([]string{n}), Problem: problem}
	}
	return list
}

func alternatives(v *jsonschema.ValidationError) string {
	var names []string
	for _, c := range v.Causes {
		for _, f := range leaves(c) {
			names = append(names, strings.TrimPrefix(f.Field, pointer(v.InstanceLocation)+"/"))
		}
	}
	return strings.Join(names, ", ")
}

// problem words a fault without quoting the value that caused it, which may be a secret.
func problem(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, not %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Enum:
		return "must be one of " + list(k.Want)
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want)
	case *kind.Format:
		return "must be a valid " + k.Want
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d items", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d members", k.Want)
	case *kind.ContentEncoding:
		return "must be " + k.Want
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d members", k.Want)
	case *kind.Not: // the schemas have it for sealed values alone
		return "is a sealed value; one may stand only where a secret may"
	case *kind.UniqueItems:
		return fmt.Sprintf("items %d and %d are equal; each may stand once", k.Duplicates[0], k.Duplicates[1])
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	default:
		return "breaks the schema (" + strings.Join(k.KeywordPath(), "/") + ")"
	}
}

func list(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ", ")
}

// pointer joins a path to a JSON Pointer (RFC 6901).
func pointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteString("/" + pointerEscapes.Replace(clip(p)))
	}
	return b.String()
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
