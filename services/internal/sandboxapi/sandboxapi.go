// Package sandboxapi is a client of the sandbox's control API: `mailwright sandbox` and the
// conformance suites steer the simulated vendors with it. docs/sandbox.md describes the API.
package sandboxapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// Client calls one sandbox.
type Client struct {
	// URL is the sandbox's base URL.
	URL string
	// Token is the bearer token of a sandbox that asks for one.
	Token string
	// CA is the file of the authorities that may sign the sandbox's certificate; "": the system's.
	CA string
}

// Do calls one endpoint below /control/ with a body: nil, bytes as they are, or anything else as
// JSON. The answer is decoded into a pointer, where that is not nil.
func (c Client) Do(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	switch body := body.(type) {
	case nil:
	case []byte:
		content = bytes.NewReader(body)
	default:
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.URL, "/")+"/control/"+path, content)
	if err != nil {
		return err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client, err := stack.HTTPClient(c.CA)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the sandbox does not answer: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		var refusal struct{ Error string }
		if json.Unmarshal(answer, &refusal) == nil && refusal.Error != "" {
			return fmt.Errorf("the sandbox refuses: %s", refusal.Error)
		}
		return fmt.Errorf("the sandbox answers %s to /control/%s", res.Status, path)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
