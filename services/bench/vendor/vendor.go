package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// vendor is the handler of all calls.
type vendor struct {
	latency time.Duration
	// reads and writes count the calls that were answered.
	reads, writes atomic.Int64
}

func newVendor(latency time.Duration) http.Handler {
	v := &vendor{latency: latency}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /calls", v.calls)
	mux.HandleFunc("POST /token", token)
	mux.HandleFunc("POST /exchange/adminapi/v2.0/{tenant}/Mailbox", v.mailbox)
	mux.HandleFunc("GET /adaxes/api/directoryObjects", v.readObject)
	mux.HandleFunc("POST /adaxes/api/directoryObjects/exchange/mailbox", v.createMailbox)
	return mux
}

// calls tells how many calls were answered: {"reads": 2, "writes": 1}. Requests for a token do not
// count.
func (v *vendor) calls(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, map[string]int64{"reads": v.reads.Load(), "writes": v.writes.Load()})
}

func token(w http.ResponseWriter, _ *http.Request) {
	answer(w, `{"token_type":"Bearer","expires_in":86399,"access_token":"bench-token"}`)
}

// foundMailbox is the answer to Get-Mailbox: a mailbox with its core properties (Exchange Online's
// page admin-api-endpoints-mailbox, "Response overview") and no delegates. Whoever sets its list
// then needs exactly one further call.
const foundMailbox = `{"@odata.context":"https://outlook.office365.com/adminapi/v2.0/$metadata#Mailbox","value":[{` +
	`"Identity":"bench","Id":"bench","Name":"bench","DisplayName":"Bench","UserPrincipalName":"bench@contoso.com","Alias":"bench",` +
	`"ExternalDirectoryObjectId":"6f9d2c1e-3b5a-4c77-9c0e-0d8d5b1f2a34","RecipientType":"UserMailbox","RecipientTypeDetails":"UserMailbox",` +
	`"EmailAddresses":["SMTP:bench@contoso.com","smtp:bench@contoso.onmicrosoft.com"],"PrimarySmtpAddress":"bench@contoso.com",` +
	`"MaxSendSize":"35 MB (36,700,160 bytes)","GrantSendOnBehalfTo":[]}]}`

// mailbox answers Get-Mailbox, and every other cmdlet of the endpoint with success and no body.
func (v *vendor) mailbox(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller has gone
	}
	if bytes.Contains(body, []byte(`"Get-Mailbox"`)) {
		v.read()
		answer(w, foundMailbox)
		return
	}
	v.write()
	w.WriteHeader(http.StatusOK)
}

// readObject answers with a user of the DN that was asked for, without a mailbox (Adaxes' page
// REST_GetDirectoryObject).
func (v *vendor) readObject(w http.ResponseWriter, r *http.Request) {
	v.read()
	answerJSON(w, map[string]any{
		"guid": "0f5a9a53-1d5c-4f6e-8f0d-3b6a1d2c4e5f", "dn": r.URL.Query().Get("directoryObject"), "displayName": "Bench",
		"objectType": "user", "domainName": "contoso.com", "directoryType": 1, "properties": map[string]any{},
	})
}

// createMailbox answers that a mailbox was created for the user that was named (Adaxes' pages
// REST_CreateExchangeMailbox and REST_OperationResult).
func (v *vendor) createMailbox(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		DirectoryObject   string
		MailboxParameters struct{ Alias string }
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, "the body is not JSON", http.StatusBadRequest)
		return
	}
	v.write()
	alias := asked.MailboxParameters.Alias
	answerJSON(w, map[string]any{
		"resultType": 0, "innerMessages": []any{}, "exception": nil, "actualObjectDN": asked.DirectoryObject,
		"extraInfo": map[string]string{"mailNickname": alias, "mail": alias + "@contoso.com", "homeMDB": "Mailbox Database 1"},
	})
}

// read takes the time of a call that reads.
func (v *vendor) read() {
	time.Sleep(v.latency)
	v.reads.Add(1)
}

// write takes the time of a call that writes.
func (v *vendor) write() {
	time.Sleep(v.latency)
	v.writes.Add(1)
}

func answerJSON(w http.ResponseWriter, v any) {
	body, _ := json.Marshal(v) // texts and numbers: never fails
	answer(w, string(body))
}

func answer(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body) // a caller that has gone needs no answer
}
