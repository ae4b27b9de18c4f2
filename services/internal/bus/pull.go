package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
)

const (
	// pullExpiry is how long the server keeps a pull request open, at most. Then it says that the
	// request has expired, which shows that it knew the request. Heartbeats beside that would wake
	// server and client for each consumer, and be most of what idle services cost.
	pullExpiry = 5 * time.Second
	// minPullExpiry is how long it does so at least.
	minPullExpiry = time.Second
	// pullGrace is how much later than the expiry the server must have said so. Else the request is
	// sent again: a server that has become the consumer's leader does not know it.
	pullGrace = time.Second
	// maxStatusMessages is more than the number of status messages that the server sends for one
	// request.
	maxStatusMessages = 16
)

// puller requests the messages of a consumer and receives them on an inbox of its own. It speaks
// the pull protocol (NATS ADR-37, ADR-42) itself, because nats.go's Messages and Consume (v1.55)
// fall short in three ways:
//   - They take a stored message without data and with a header "Status" for a status message of
//     the server (checkMsg in jetstream/message.go). Any publisher could make a message that no
//     handler ever gets, or one that ends every pull ("409 Consumer Deleted").
//     TestMalformedMessages has one.
//   - Messages does not report that the pin is lost (handleStatusMsg in jetstream/pull.go). The
//     fence needs that in the order of arrival, between two messages.
//   - Every request asks for the same number of bytes. A message that is larger would never come.
type puller struct {
	nc      *nats.Conn
	subject string
	// request is the last one that was sent. Its ID is the pin, if there is one.
	request      pullRequest
	inbox        *nats.Subscription
	arrived      chan *nats.Msg   // messages and status messages, for read
	overdue      *time.Timer      // for unanswered
	disconnected chan nats.Status // the server behind the next connection may not know the request
	requestedAt  time.Time
	remaining    int  // messages that the last request may still bring
	tooLarge     bool // the next message is larger than the bytes of the last request
}

// pullRequest is the body of a request: NATS ADR-37, and ADR-42 for group and id.
type pullRequest struct {
	Batch    int           `json:"batch"`
	MaxBytes int           `json:"max_bytes,omitempty"`
	Expires  time.Duration `json:"expires"`
	Group    string        `json:"group,omitempty"`
	ID       string        `json:"id,omitempty"`
}

var (
	// errForgotten is the error that the server has forgotten the request or cannot be reached.
	errForgotten = errors.New("the server has forgotten the request, or cannot be reached")
	// errLostPin is the error that the server may have delivered our pending messages to another
	// process.
	errLostPin = errors.New("the pin, or a message's lease, is lost")
)

// newPuller subscribes to an inbox that has room for maxBatch messages. nats.go drops messages that
// do not fit, so no request may be larger.
func newPuller(js jetstream.JetStream, stream string, consumer jetstream.ConsumerConfig, maxBatch int) (*puller, error) {
	nc := js.Conn()
	request := pullRequest{Expires: pullExpiry}
	if isPinned(consumer) {
		request.Group = consumer.PriorityGroups[0]
		// a request renews the pin
		request.Expires = min(max(consumer.PinnedTTL/3, minPullExpiry), pullExpiry)
	}
	arrived := make(chan *nats.Msg, maxBatch+maxStatusMessages)
	inbox, err := nc.ChanSubscribe(nc.NewInbox(), arrived)
	if err != nil {
		return nil, err
	}
	return &puller{
		nc:           nc,
		subject:      topology.APIPrefix(js.Options()) + "CONSUMER.MSG.NEXT." + stream + "." + consumer.Durable,
		request:      request,
		inbox:        inbox,
		arrived:      arrived,
		overdue:      time.NewTimer(request.Expires + pullGrace),
		disconnected: nc.StatusChanged(nats.RECONNECTING),
	}, nil
}

// send requests up to batch messages of up to maxBytes in sum; 0 is any number of bytes. Nothing
// may remain of the last request.
func (p *puller) send(batch, maxBytes int) error {
	p.request.Batch = batch
	p.request.MaxBytes = maxBytes
	body, err := json.Marshal(p.request)
	if err != nil {
		return err
	}
	p.requestedAt = time.Now()
	p.overdue.Reset(p.request.Expires + pullGrace)
	p.remaining = batch
	p.tooLarge = false
	return p.nc.PublishRequest(p.subject, p.inbox.Subject, body)
}

// read takes note of what arrived. stored is false for a status message of the server. An error
// ends the pull.
func (p *puller) read(m *nats.Msg) (stored bool, err error) {
	if m.Reply != "" { // only a stored message has an address for its acknowledgement
		p.remaining--
		if p.request.Group != "" {
			p.request.ID = takePin(m)
		}
		return true, nil
	}
	switch status, description := m.Header.Get("Status"), m.Header.Get("Description"); {
	case description == "Batch Completed":
	case status == "404", status == "408": // the request has expired
		p.remaining = 0
	case description == "Message Size Exceeds MaxBytes":
		p.remaining = 0
		p.tooLarge = true
	case status == "423": // another subscriber has the pin
		return false, errLostPin
	default: // the consumer is gone, or the server refuses the request
		return false, fmt.Errorf("the server ended the pull: %s %s", status, description)
	}
	return false, nil
}

// unanswered reports, when overdue has fired, whether the server has let the open request expire
// without a word.
func (p *puller) unanswered() bool {
	p.overdue.Reset(pullGrace) // the answer may be among what has arrived
	return p.remaining > 0 && len(p.arrived) == 0
}

// pinHeader carries the pin. The server puts it behind the message's own headers.
const pinHeader = "Nats-Pin-Id"

// takePin removes the pin from a message and returns it. A header of the same name that the
// publisher has set stays.
func takePin(m *nats.Msg) string {
	pin := lastValue(m.Header, pinHeader)
	if own := len(m.Header[pinHeader]) - 1; own > 0 {
		m.Header[pinHeader] = m.Header[pinHeader][:own]
	} else {
		delete(m.Header, pinHeader)
	}
	return pin
}

// close unsubscribes the inbox and returns the messages that had arrived there, so that the caller
// can return them to the server. If the connection is down the server redelivers them after
// AckWait.
func (p *puller) close() (unread []*nats.Msg) {
	p.overdue.Stop()
	p.nc.RemoveStatusListener(p.disconnected)
	if !p.nc.IsConnected() {
		_ = p.inbox.Unsubscribe()
		return nil
	}
	if err := p.inbox.Drain(); err != nil {
		return nil // the connection is closed
	}
	_ = p.nc.FlushTimeout(infoTimeout) // once answered, nothing more can arrive
	for {
		select {
		case m := <-p.arrived:
			if m.Reply != "" {
				unread = append(unread, m)
			}
		default:
			return unread
		}
	}
}
