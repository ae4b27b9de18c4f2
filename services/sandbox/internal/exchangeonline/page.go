package exchangeonline

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mailwright/mailwright/services/sandbox/internal/call"
	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// cursorLife is how long a nextLink works.
const cursorLife = 30 * time.Minute

// cursor is where the next page starts. It holds for the same body only.
type cursor struct {
	After uint64    `json:"a"`
	Body  string    `json:"b"`
	Until time.Time `json:"u"`
}

func bodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

// start reads the cursor of a follow-up page; 0 for the first.
func (a *API) start(q *request) (uint64, *call.Answer) {
	text := q.http.URL.Query().Get("$skiptoken")
	if text == "" {
		return 0, nil
	}
	var c cursor
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &c) != nil || c.Body != bodyHash(q.body) ||
		!a.world.Now().Before(c.Until) || a.world.Switches.On(switches.ExchangeCursorAffinity) {
		refused := invalidOperation("Microsoft.Exchange.Admin.OData.Core.ODataServiceException",
			"Expired or Invalid pagination request. Default Expiry time is 00:30:00")
		return 0, &refused
	}
	return c.After, nil
}

// nextLink is the absolute URL of the next page, on the host that the caller used.
func (a *API) nextLink(q *request, after uint64) string {
	raw, _ := json.Marshal(cursor{after, bodyHash(q.body), a.world.Now().Add(cursorLife)})
	values := url.Values{"$skiptoken": {base64.RawURLEncoding.EncodeToString(raw)}}
	if len(q.selected) > 0 {
		values.Set("$select", strings.Join(q.selected, ","))
	}
	path, _, _ := strings.Cut(q.http.RequestURI, "?")
	return call.Origin(q.http) + path + "?" + strings.ReplaceAll(values.Encode(), "%24", "$")
}

// pageSize is ResultSize, or less where the caller prefers smaller pages.
func pageSize(q *request) (int, *call.Answer) {
	size, wrong := q.parameters.resultSize()
	if wrong != nil {
		return 0, wrong
	}
	if n, ok := strings.CutPrefix(q.http.Header.Get("Prefer"), "odata.maxpagesize="); ok {
		if preferred, err := strconv.Atoi(n); err == nil && preferred > 0 && (size == unlimited || preferred < size) {
			size = preferred
		}
	}
	return size, nil
}

// collection answers with rows; next is the following page's URL, or "".
func collection(q *request, rows []map[string]any, next string) call.Answer {
	envelope := map[string]any{
		"@odata.context":               call.Origin(q.http) + "/adminapi/v2.0/$metadata#Collection(Exchange.GenericHashTable)",
		"adminapi.warnings@odata.type": "#Collection(String)",
		"@adminapi.warnings":           []string{},
		"value":                        rows,
	}
	if next != "" {
		envelope["@odata.nextLink"] = next
		envelope["@adminapi.warnings"] = []string{
			fmt.Sprintf("By default, only the first %d items are returned. Use the ResultSize parameter to specify the number of items returned.", len(rows)),
		}
	}
	return write(http.StatusOK, envelope)
}

// project keeps the selected properties of each row.
func (a *API) project(q *request, rows []map[string]any) *call.Answer {
	if len(q.selected) == 0 {
		return nil
	}
	for i, row := range rows {
		kept := make(map[string]any, len(q.selected))
		for _, name := range q.selected {
			name = strings.TrimSpace(name)
			found := false
			for key, value := range row {
				if strings.EqualFold(key, name) {
					kept[key], found = value, true
				}
			}
			if !found && a.world.Switches.Text(switches.ExchangeSelectUnknown) == "reject" {
				refused := invalidOperation("Microsoft.OData.ODataException", "Could not find a property named '"+name+"'.")
				return &refused
			}
		}
		rows[i] = kept
	}
	return nil
}
