package page

import (
	"time"

	"github.com/mailwright/mailwright/pkg/event"
)

// OperationColumns are the columns of the view operations that [Rows] reads into an [Operation].
const OperationColumns = `operation_id, command_type, domain, tenant, subject, key, state, waiting_reason, failure_text, correlation_id, attempts, received_at, finished_at, next_attempt_at`

// Operation is a row of a table of operations, which the template "operations" writes.
type Operation struct {
	ID, Type, Domain, Tenant, Subject, Key, State string
	Reason, Failure, Ticket                       string
	Attempts                                      int64
	Received                                      time.Time
	Finished, Next                                *time.Time
}

// Whom is what the operation is about, for people.
func (o Operation) Whom() string {
	if o.Subject != "" {
		return o.Subject
	}
	if key, err := event.Untoken(o.Key); err == nil && key != "" {
		return key
	}
	return o.Key
}

// Took is how long the operation took; 0 while it has no outcome.
func (o Operation) Took() time.Duration {
	if o.Finished == nil {
		return 0
	}
	return o.Finished.Sub(o.Received)
}
