package event

// AuditIntendedData is the data of audit.intended: what a person is about to do. It names nobody
// but by the ids of operations, since nothing can be taken out of AUDIT.
type AuditIntendedData struct {
	// Action is what is done, such as dead.discard.
	Action string `json:"action"`
	// Reason is the person's own.
	Reason  string   `json:"reason,omitempty"`
	Tenants []string `json:"tenants,omitempty"`
	// Operations, DeadLetters (by their sequences in DEAD) and Targets are what it is done to:
	// [MaxAudited] of each at most.
	Operations  []string `json:"operations,omitempty"`
	DeadLetters []uint64 `json:"deadLetters,omitempty"`
	// Targets are parts of the system, such as "stream COMMANDS".
	Targets []string `json:"targets,omitempty"`
	// Count is how many things it is meant to be done to.
	Count int `json:"count"`
	// Options are those of the call that widen what is done, such as force.
	Options []string `json:"options,omitempty"`
	// ConnectedAs is what NATS told the program of its user: a public nkey, or a name.
	ConnectedAs string `json:"connectedAs,omitempty"`
}

// MaxAudited bounds each list of [AuditIntendedData].
const MaxAudited = 1000

// AuditCompletedData is the data of audit.completed: how an act ended.
type AuditCompletedData struct {
	Action string `json:"action"`
	// Result is AuditDone, AuditRefused or AuditFailed.
	Result string `json:"result"`
	// Done is how many things it was done to.
	Done int `json:"done"`
}

// Results of what a person does.
const (
	AuditDone    = "done"
	AuditRefused = "refused" // a rule of the system forbids it: nothing was done
	AuditFailed  = "failed"  // it ended before all was done
)
