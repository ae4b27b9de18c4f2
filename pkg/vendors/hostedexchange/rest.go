package hostedexchange

import (
	"net/http"
	"sync"
	"time"

	"github.com/mailwright/mailwright/pkg/failure"
	"github.com/mailwright/mailwright/pkg/vendors/transport"
)

// refusalPause is how long credentials that were refused are not sent again: Windows counts them and locks the account, and every waiting command would cost it one.
const refusalPause = 10 * time.Minute

// rest keeps the refusal of our credentials until they may be tried again.
type rest struct {
	mu      sync.Mutex
	refusal failure.Error
	until   time.Time
}

// standing is the refusal that still holds; nil for none. Nothing is sent meanwhile.
func (r *rest) standing() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := time.Until(r.until)
	if left <= 0 {
		return nil
	}
	f := r.refusal
	f.RetryAfter = left
	return &f
}

// note takes down whether an answer refuses the credentials.
func (r *rest) note(res *transport.Response) {
	if res.Status != http.StatusUnauthorized {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusal, r.until = *statusFailure(res, nil), time.Now().Add(refusalPause)
}
