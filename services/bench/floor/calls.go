package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/mailwright/mailwright/pkg/event"
)

// caller makes the two calls of a command: a read and a write.
type caller struct {
	domain string
	vendor string
	http   *http.Client
}

// newCaller keeps a connection for each worker, so that none is dialled twice.
func newCaller(vendor, domain string, workers int) *caller {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, workers
	return &caller{domain: domain, vendor: vendor, http: &http.Client{Transport: transport}}
}

// call carries a command out and gives its result.
func (c *caller) call(ctx context.Context, command []byte, operation event.OperationData) (resultType string, result any, err error) {
	if c.domain == string(event.DomainMailbox) {
		result, err = c.createMailbox(ctx, command, operation)
		return event.TypeMailboxCreated, result, err
	}
	result, err = c.setDelegates(ctx, command, operation)
	return event.TypeDelegationChanged, result, err
}

// cmdlet is the body of a call of Exchange Online's Admin API.
type cmdlet struct {
	CmdletInput struct {
		CmdletName string
		Parameters map[string]any
	}
}

func cmdletOf(name string, parameters map[string]any) (c cmdlet) {
	c.CmdletInput.CmdletName, c.CmdletInput.Parameters = name, parameters
	return c
}

// tenantID is the path's; the vendor takes any.
const tenantID = "3f2c8a10-7d54-4c1b-9e0a-5b6d7c8e9f01"

func (c *caller) setDelegates(ctx context.Context, command []byte, operation event.OperationData) (event.DelegationChangedData, error) {
	var wanted event.DelegationSetData
	if err := json.Unmarshal(command, &wanted); err != nil {
		return event.DelegationChangedData{}, err
	}
	endpoint := c.vendor + "/exchange/adminapi/v2.0/" + tenantID + "/Mailbox"
	var found struct {
		Value []struct{ GrantSendOnBehalfTo []string } `json:"value"`
	}
	err := c.do(ctx, http.MethodPost, endpoint, cmdletOf("Get-Mailbox", map[string]any{"Identity": wanted.Mailbox}), &found)
	if err != nil {
		return event.DelegationChangedData{}, err
	}
	if len(found.Value) != 1 {
		return event.DelegationChangedData{}, fmt.Errorf("%d mailboxes", len(found.Value))
	}
	list := map[string]any{"Identity": wanted.Mailbox, "GrantSendOnBehalfTo": wanted.Delegates, "GrantSendOnBehalfTo@odata.type": "#Collection(String)"}
	if err := c.do(ctx, http.MethodPost, endpoint, cmdletOf("Set-Mailbox", list), nil); err != nil {
		return event.DelegationChangedData{}, err
	}
	return event.DelegationChangedData{
		Operation: operation, Mailbox: wanted.Mailbox, Delegates: wanted.Delegates, Added: wanted.Delegates, Removed: []string{}, Changed: true,
	}, nil
}

func (c *caller) createMailbox(ctx context.Context, command []byte, operation event.OperationData) (event.MailboxCreatedData, error) {
	var wanted event.MailboxCreateData
	if err := json.Unmarshal(command, &wanted); err != nil {
		return event.MailboxCreatedData{}, err
	}
	objects := c.vendor + "/adaxes/api/directoryObjects"
	var user struct {
		Properties struct{ HomeMDB []string }
	}
	err := c.do(ctx, http.MethodGet, objects+"?properties=homeMDB&directoryObject="+url.QueryEscape(wanted.DirectoryObject), nil, &user)
	if err != nil {
		return event.MailboxCreatedData{}, err
	}
	if len(user.Properties.HomeMDB) > 0 {
		return event.MailboxCreatedData{}, fmt.Errorf("%s has a mailbox", wanted.DirectoryObject)
	}
	var made struct {
		ResultType     int
		ActualObjectDN string
		ExtraInfo      struct{ MailNickname, Mail, HomeMDB string }
	}
	if err := c.do(ctx, http.MethodPost, objects+"/exchange/mailbox", wanted, &made); err != nil {
		return event.MailboxCreatedData{}, err
	}
	return event.MailboxCreatedData{Operation: operation, Mailbox: event.CreatedMailbox{
		DirectoryObject: made.ActualObjectDN, Alias: made.ExtraInfo.MailNickname, PrimarySMTPAddress: made.ExtraInfo.Mail, Database: made.ExtraInfo.HomeMDB,
	}}, nil
}

// do makes one call. in is its body, nil for none; out takes the answer, nil where there is none.
func (c *caller) do(ctx context.Context, method, url string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer bench-token")
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
