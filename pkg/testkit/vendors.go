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
)

// Vendors controls the sandbox that stands in for the vendors' APIs. docs/sandbox.md tells the
// names of vendors, calls, switches and kinds of objects.
type Vendors struct{ url, token string }

// Fault makes chosen calls of a vendor go wrong. Empty Vendor, Call and Match fit every call.
type Fault struct {
	Vendor string `json:"vendor,omitempty"` // adaxes, exchangeonline, entra, hostedexchange, enpower, enpower-identity
	Call   string `json:"call,omitempty"`   // create-object, create-mailbox, Set-Mailbox, CreateBusinessUser, list-mailboxes, token, …
	Match  string `json:"match,omitempty"`  // a part of the call's target, in any case
	// Kind is latency, timeout-before, timeout-after, reset, status, nonjson, suspend or partial.
	Kind string `json:"kind"`
	// Count is how many calls it strikes; 0: every one.
	Count int `json:"count,omitempty"`
	// Params are what the kind needs beside its name.
	Params FaultParams `json:"params"`
}

// FaultParams are the details of a fault. Durations are as time.ParseDuration has them.
type FaultParams struct {
	Delay      string `json:"delay,omitempty"`
	Hold       string `json:"hold,omitempty"`
	Status     int    `json:"status,omitempty"`
	RetryAfter string `json:"retryAfter,omitempty"`
	Body       string `json:"body,omitempty"`
	When       string `json:"when,omitempty"` // before or after the call's work
}

// Call is one call that a vendor received.
type Call struct {
	Sequence  uint64    `json:"sequence"`
	Time      time.Time `json:"time"`
	Vendor    string    `json:"vendor"`
	Call      string    `json:"call"`
	Target    string    `json:"target"`
	Status    int       `json:"status"` // 0: no answer was sent
	Outcome   string    `json:"outcome"`
	Committed bool      `json:"committed"` // it changed the tenant
	Fault     string    `json:"fault"`
}

// Fail adds a fault.
func (v *Vendors) Fail(ctx context.Context, f Fault) error {
	return v.Control(ctx, http.MethodPost, "faults", f, nil)
}

// ClearFaults takes every fault away.
func (v *Vendors) ClearFaults(ctx context.Context) error {
	return v.Control(ctx, http.MethodDelete, "faults", nil, nil)
}

// Set changes switches: what a vendor does where its page is silent.
func (v *Vendors) Set(ctx context.Context, switches map[string]any) error {
	return v.Control(ctx, http.MethodPut, "switches", switches, nil)
}

// Advance moves the vendors' clock forward: tokens and cursors expire, lags pass.
func (v *Vendors) Advance(ctx context.Context, by time.Duration) error {
	return v.Control(ctx, http.MethodPost, "clock", map[string]string{"advance": by.String()}, nil)
}

// Scan lets EnPower scan now.
func (v *Vendors) Scan(ctx context.Context) error {
	return v.Control(ctx, http.MethodPost, "scan", nil, nil)
}

// Reset takes the tenant back to its seed: state, clock, switches, faults, journal.
func (v *Vendors) Reset(ctx context.Context) error {
	return v.Control(ctx, http.MethodPost, "reset", nil, nil)
}

// Calls lists what the vendors were asked, oldest first; "" fits every vendor and call.
func (v *Vendors) Calls(ctx context.Context, vendor, call string) ([]Call, error) {
	var answer struct {
		Entries []Call `json:"entries"`
	}
	query := url.Values{"vendor": {vendor}, "call": {call}, "limit": {"0"}}
	err := v.Control(ctx, http.MethodGet, "journal?"+query.Encode(), nil, &answer)
	return answer.Entries, err
}

// Objects reads what the tenant holds into a pointer: objects, mailboxes, groups, stores, views,
// approvals or billing whose identity contains match. The JSON document has one member, of the
// kind's name.
func (v *Vendors) Objects(ctx context.Context, kind, match string, into any) error {
	query := url.Values{"kind": {kind}, "match": {match}, "limit": {"0"}}
	return v.Control(ctx, http.MethodGet, "objects?"+query.Encode(), nil, into)
}

// Control calls one endpoint of the sandbox's control API, with a JSON body where body is not nil,
// and decodes the answer where into is not nil.
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
	res, err := http.DefaultClient.Do(req)
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
