package exchangeonline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mailwright/mailwright/services/internal/failure"
	"github.com/mailwright/mailwright/services/internal/vendors/exchangeonline"
)

// odata is an error in the shape that the back end is seen to use.
func odata(code, exception string) string {
	return fmt.Sprintf(`{"error":{"code":%q,"message":"Error executing cmdlet",
		"details":[{"code":"Client","target":"","message":"|%s|couldn't be found on 'HUSH-DC01.prod.outlook.com'"}],
		"innererror":{"message":"x","type":"Microsoft.Exchange.Admin.OData.Core.ODataServiceException","stacktrace":"",
		"internalexception":{"message":"hush","type":%q,"stacktrace":"at hush()"}},"@adminapi.warnings":[]}}`, code, exception, exception)
}

const (
	notFoundType  = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException"
	ambiguousType = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectAmbiguousException"
	unknownParam  = "Microsoft.Exchange.Admin.OData.Core.AmbiguousParameterSetException"
	badValue      = "System.Management.Automation.ParameterTransformationException"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply reply
		read  failure.Kind
		write failure.Kind
		code  string
	}{
		"not found":                  {reply{404, odata("NotFound", notFoundType), nil}, failure.NotFound, failure.NotFound, "NotFound/ManagementObjectNotFoundException"},
		"not found as a 500":         {reply{500, odata("InternalServerError", notFoundType), nil}, failure.NotFound, failure.NotFound, "InternalServerError/ManagementObjectNotFoundException"},
		"not found, type in details": {reply{400, `{"error":{"code":"BadRequest","details":[{"message":"Ex6F9304|` + notFoundType + `|text"}]}}`, nil}, failure.NotFound, failure.NotFound, "BadRequest/ManagementObjectNotFoundException"},
		"not found by code only":     {reply{404, `{"error":{"code":"NotFound"}}`, nil}, failure.NotFound, failure.NotFound, "NotFound"},
		"ambiguous":                  {reply{400, odata("BadRequest", ambiguousType), nil}, failure.Invalid, failure.Invalid, "BadRequest/ManagementObjectAmbiguousException"},
		"parameter not rolled out":   {reply{400, odata("BadRequest", unknownParam), nil}, failure.Refused, failure.Refused, "BadRequest/AmbiguousParameterSetException"},
		"bad value":                  {reply{400, odata("BadRequest", badValue), nil}, failure.Invalid, failure.Invalid, "BadRequest/ParameterTransformationException"},
		"unknown exception":          {reply{400, odata("BadRequest", "A.B.C"), nil}, failure.Refused, failure.Refused, "BadRequest/C"},
		"cmdlet not permitted":       {reply{401, `{"error":{"code":"Unauthorized","message":"User is not allowed to call Get-Mailbox"}}`, nil}, failure.Unavailable, failure.Unavailable, "Unauthorized"},
		"401 without a body":         {reply{401, "", nil}, failure.Unavailable, failure.Unavailable, "HTTP 401"},
		"no role: a run of NULs":     {reply{403, strings.Repeat("\x00", 4096), nil}, failure.Refused, failure.Refused, "HTTP 403"},
		"NULs around the JSON":       {reply{403, "\x00\x00" + odata("Forbidden", "A.B") + "\x00", nil}, failure.Refused, failure.Refused, "Forbidden/B"},
		"a proxy's page":             {reply{403, "<html>hush</html>", nil}, failure.Unavailable, failure.Unavailable, "HTTP 403"},
		"concurrency, plain text":    {reply{403, "Too many concurrent requests: hush", nil}, failure.Unavailable, failure.Unavailable, "HTTP 403"},
		"concurrency with a 400":     {reply{400, "Too many concurrent requests: hush", nil}, failure.Unavailable, failure.Unavailable, "HTTP 400"},
		"JSON of another's":          {reply{409, `{"message":"hush"}`, nil}, failure.Unavailable, failure.Unavailable, "HTTP 409"},
		"a page at a wrong address":  {reply{404, "<html>hush</html>", nil}, failure.Unavailable, failure.Unavailable, "HTTP 404"},
		"not carried over to Entra":  {reply{400, odata("BadRequest", "A.UnableToWriteToAadException"), nil}, failure.Unavailable, failure.Unavailable, "BadRequest/UnableToWriteToAadException"},
		"transient with a 400":       {reply{400, odata("BadRequest", "A.ADTransientException"), nil}, failure.Unavailable, failure.Unavailable, "BadRequest/ADTransientException"},
		"transient with a 500":       {reply{500, `{"error":{"code":"InternalServerError","innererror":{"type":"A.ADTransientException"}}}`, nil}, failure.Unavailable, failure.Unavailable, "InternalServerError/ADTransientException"},
		"another exception, 500":     {reply{500, odata("InternalServerError", "A.B"), nil}, failure.Unavailable, failure.Unknown, "InternalServerError/B"},
		"kept on premises":           {reply{400, odata("BadRequest", "System.InvalidOperationException"), nil}, failure.Refused, failure.Refused, "BadRequest/InvalidOperationException"},
		"API absent":                 {reply{404, "", nil}, failure.Refused, failure.Refused, "HTTP 404"},
		"wrong method":               {reply{405, "", nil}, failure.Refused, failure.Refused, "HTTP 405"},
		"throttled":                  {reply{429, odata("TooManyRequests", ""), map[string]string{"Retry-After": "30"}}, failure.Throttled, failure.Throttled, "TooManyRequests/ODataServiceException"},
		"unavailable":                {reply{503, "", map[string]string{"Retry-After": "30"}}, failure.Unavailable, failure.Unavailable, "HTTP 503"},
		"500 that says nothing":      {reply{500, "", nil}, failure.Unavailable, failure.Unknown, "HTTP 500"},
		"gateway timeout":            {reply{504, "<html>", nil}, failure.Unavailable, failure.Unknown, "HTTP 504"},
		"an error with 200":          {reply{200, odata("NotFound", notFoundType), nil}, failure.NotFound, failure.NotFound, "NotFound/ManagementObjectNotFoundException"},
		"an odd error with 200":      {reply{200, `{"error":"hush"}`, nil}, failure.Internal, failure.Unknown, "HTTP 200"},
		"a page with 200":            {reply{200, "<html>hush", nil}, failure.Internal, failure.Unknown, ""},
		"accepted":                   {reply{202, "", nil}, failure.Internal, failure.Unknown, "HTTP 202"},
		"odd members":                {reply{400, `{"error":{"code":7,"details":"hush","innererror":[]}}`, nil}, failure.Refused, failure.Refused, "HTTP 400"},
		"a code that is prose":       {reply{400, `{"error":{"code":"hush: the password is 1"}}`, nil}, failure.Refused, failure.Refused, "HTTP 400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newVendor(t, tc.reply).client(t)
			_, read := c.GetMailbox(t.Context(), "alex", exchangeonline.GetOptions{})
			write := c.ChangeSendOnBehalf(t.Context(), "alex", []string{"a@contoso.com"}, nil)
			for err, want := range map[error]failure.Kind{read: tc.read, write: tc.write} {
				f := failure.Of(err)
				if f == nil || f.Kind != want || f.Code != tc.code || f.Vendor != exchangeonline.Vendor {
					t.Errorf("%#v, want %s with code %q", f, want, tc.code)
					continue
				}
				if tc.reply.header != nil && f.RetryAfter != 30*time.Second {
					t.Errorf("RetryAfter %s", f.RetryAfter)
				}
				if all := strings.ToLower(fmt.Sprintf("%v %v", f, f.Cause)); strings.Contains(all, "hush") {
					t.Errorf("vendor's text got through: %s", all)
				}
			}
		})
	}
}

// TestWhatMayPassIsBounded: an answer that may pass, though its status says that it does not, is
// not worth a day's retries.
func TestWhatMayPassIsBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply reply
		want  time.Duration
	}{
		"not carried over to Entra": {reply{400, odata("BadRequest", "A.UnableToWriteToAadException"), nil}, 15 * time.Minute},
		"concurrency, plain text":   {reply{403, "Too many concurrent requests", nil}, time.Hour},
		"transient with a 400":      {reply{400, odata("BadRequest", "A.StorageTransientException"), nil}, time.Hour},
		"transient with a 500":      {reply{500, odata("", "A.StorageTransientException"), nil}, 0},
		"unavailable":               {reply{503, "", nil}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := newVendor(t, tc.reply).client(t).ChangeSendOnBehalf(t.Context(), "alex", []string{"a@contoso.com"}, nil)
			if f := failure.Of(err); f.Kind != failure.Unavailable || f.RetryFor != tc.want {
				t.Errorf("%v for %s, want %s", f, f.RetryFor, tc.want)
			}
		})
	}
}

func TestARefusalOfAMailboxOnPremisesNamesThePlace(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{400, odata("BadRequest", "System.InvalidOperationException"), nil})
	err := v.client(t).ChangeSendOnBehalf(t.Context(), "alex", []string{"a@contoso.com"}, nil)
	if f := failure.Of(err); f.Kind != failure.Refused || !strings.Contains(f.Text, "on premises") {
		t.Errorf("%v", f)
	}
}

func TestHasEnded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reply reply
		want  bool
	}{
		"an error of the API":  {reply{500, odata("InternalServerError", "A.B"), nil}, true},
		"a gateway's page":     {reply{504, "<html>", nil}, false},
		"an error of no names": {reply{500, `{"error":{}}`, nil}, false},
		"a lost answer":        {reply{status: 200, header: map[string]string{"Content-Length": "9"}, body: "{"}, false},
		"a refusal":            {reply{400, odata("BadRequest", "A.B"), nil}, false},
		"a success":            {reply{status: 200}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := newVendor(t, tc.reply).client(t).ChangeSendOnBehalf(t.Context(), "alex", []string{"a@contoso.com"}, nil)
			if got := exchangeonline.HasEnded(err); got != tc.want {
				t.Errorf("%v of %v", got, err)
			}
		})
	}
}

func TestCauseHasWhatSupportAsksFor(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{403, "", map[string]string{"Request-Id": "4711"}})
	_, err := v.client(t).GetMailbox(t.Context(), "alex", exchangeonline.GetOptions{})
	f := failure.Of(err)
	for _, want := range []string{"Get-Mailbox", "403", "4711"} {
		if !strings.Contains(fmt.Sprint(f.Cause), want) {
			t.Errorf("cause %v lacks %s", f.Cause, want)
		}
	}
	if strings.Contains(f.Text, "4711") {
		t.Errorf("text %q", f.Text)
	}
}

func TestLostAnswer(t *testing.T) {
	t.Parallel()
	v := newVendor(t, reply{status: 200, header: map[string]string{"Content-Length": "100"}, body: `{"value":`})
	c := v.client(t)
	if _, err := c.GetMailbox(t.Context(), "alex", exchangeonline.GetOptions{}); !failure.Is(err, failure.Unavailable) {
		t.Errorf("read: %v", err)
	}
	if err := c.SetSendOnBehalf(t.Context(), "alex", []string{"a@contoso.com"}); !failure.Is(err, failure.Unknown) {
		t.Errorf("write: %v", err)
	}
}

func TestSuccessOfSet(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]reply{
		"empty":      {200, "", nil},
		"blank":      {200, "\r\n", nil},
		"JSON":       {200, `{"@adminapi.warnings":["No changes"],"value":[]}`, nil},
		"no content": {204, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := newVendor(t, r).client(t).SetSendOnBehalf(t.Context(), "alex", []string{"a@contoso.com"}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
