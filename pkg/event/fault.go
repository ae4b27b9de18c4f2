package event

// ArrangeFaults puts faults into the order of [Check], each once, and keeps the list short enough
// for an event.
func ArrangeFaults(list []Fault) []Fault { return bounded(sorted(list)) }
