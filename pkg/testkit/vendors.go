package testkit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// Vendors controls the sandbox that stands in for the vendors' APIs. docs/sandbox.md lists the
// names of vendors, calls, switches and kinds of objects. All methods return the error of the
// control API: the HTTP status and its text, or that the sandbox could not be reached.
type Vendors struct{ url, token, ca string }

// Fault makes chosen calls of a vendor fail. An empty Vendor, Call or Match applies to every call.
type Fault struct {
	Vendor string `json:"vendor,omitempty"` // adaxes, exchangeonline, entra, hostedexchange, enpower, enpower-identity
	Call   string `json:"call,omitempty"`   // create-object, create-mailbox, Set-Mailbox, CreateBusinessUser, list-mailboxes, token, …
	Match  string `json:"match,omitempty"`  // a part of the call's target; the case of letters does not count
	// Kind is latency, timeout-before, timeout-after, reset, status, nonjson, suspend or partial.
	Kind string `json:"kind"`
	// Count is the number of calls that fail; 0 means every call.
	Count int `json:"count,omitempty"`
	// Params are the parameters of the kind.
	Params FaultParams `json:"params"`
}

// FaultParams are the parameters of a fault. Durations are in the form of [time.ParseDuration],
// such as "1.5s".
type FaultParams struct {
	Delay      string `json:"delay,omitempty"`      // a duration, for latency
	Hold       string `json:"hold,omitempty"`       // a duration, for timeout-before and timeout-after
	Status     int    `json:"status,omitempty"`     // the HTTP status of the answer
	RetryAfter string `json:"retryAfter,omitempty"` // the value of the header Retry-After
	Body       string `json:"body,omitempty"`       // the body of the answer
	When       string `json:"when,omitempty"`       // "before" or "after" the call has taken effect
}

// Call is a call that a vendor received.
type Call struct {
	Sequence  uint64    `json:"sequence"`
	Time      time.Time `json:"time"`
	Vendor    string    `json:"vendor"`
	Call      string    `json:"call"`
	Target    string    `json:"target"`
	Status    int       `json:"status"` // the HTTP status; 0 if no answer was sent
	Outcome   string    `json:"outcome"`
	Committed bool      `json:"committed"` // whether the call changed the tenant's objects
	Fault     string    `json:"fault"`
}

// Fail adds a fault.
func (v *Vendors) Fail(ctx context.Context, f Fault) error {
	return v.Control(ctx, http.MethodPost, "faults", f, nil)
}

// ClearFaults removes every fault.
func (v *Vendors) ClearFaults(ctx context.Context) error {
	return v.Control(ctx, http.MethodDelete, "faults", nil, nil)
}

// Set changes switches, which choose between behaviours that a vendor's documentation leaves open.
// The values of the other switches stay.
func (v *Vendors) Set(ctx context.Context, switches map[string]any) error {
	return v.Control(ctx, http.MethodPut, "switches", switches, nil)
}

// Advance moves the vendors' clock forward, so that tokens and cursors expire and lags pass.
func (v *Vendors) Advance(ctx context.Context, by time.Duration) error {
	return v.Control(ctx, http.MethodPost, "clock", map[string]string{"advance": by.String()}, nil)
}

// Scan makes EnPower scan the tenant now: its list of mailboxes shows the state of the last scan.
func (v *Vendors) Scan(ctx context.Context) error {
	return v.Control(ctx, http.MethodPost, "scan", nil, nil)
}

// Reset restores the seed: the objects, clock, switches, faults and the journal of calls.
func (v *Vendors) Reset(ctx context.Context) error {
	return v.Control(ctx, http.MethodPost, "reset", nil, nil)
}

// Calls lists the calls that the vendors received since the last reset, oldest first. An empty
// vendor or call stands for all.
func (v *Vendors) Calls(ctx context.Context, vendor, call string) ([]Call, error) {
	var answer struct {
		Entries []Call `json:"entries"`
	}
	query := url.Values{"vendor": {vendor}, "call": {call}, "limit": {"0"}}
	err := v.Control(ctx, http.MethodGet, "journal?"+query.Encode(), nil, &answer)
	return answer.Entries, err
}

// Objects reads the tenant's objects of a kind whose identity contains match into the value that
// into points to. kind is objects, mailboxes, groups, stores, views, approvals or billing. The JSON
// document is an object with one member of that name, which is a list.
func (v *Vendors) Objects(ctx context.Context, kind, match string, into any) error {
	query := url.Values{"kind": {kind}, "match": {match}, "limit": {"0"}}
	return v.Control(ctx, http.MethodGet, "objects?"+query.Encode(), nil, into)
}

// Control calls an endpoint of the sandbox's control API, such as "faults". If body is not nil it
// is sent as JSON; if into is not nil the answer is decoded into it.
func (v *Vendors) Control(ctx context.Context, method, path string, body, into any) error {
	if err := v.control(ctx, method, path, body, into); err != nil {
		return fmt.Errorf("testkit: sandbox: %s /control/%s: %w", method, path, err)
	}
	return nil
}

func (v *Vendors) control(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, v.url+"/control/"+path, content)
	if err != nil {
		return err
	}
	if v.token != "" {
		req.Header.Set("Authorization", "Bearer "+v.token)
	}
	client, err := stack.HTTPClient(v.ca)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return fmt.Errorf("%s: %s", res.Status, bytes.TrimSpace(text))
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}
