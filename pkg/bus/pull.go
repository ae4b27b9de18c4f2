package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullExpiry is how long one request for a message stands at the server.
	pullExpiry = 30 * time.Second
	// pullBeat is how often the server says that it still holds the request. Two in a row
	// missing means that it does not, so a restarted server is asked again within a second.
	pullBeat = 500 * time.Millisecond
)

// puller takes a consumer's messages one at a time, over an inbox of its own.
//
// It speaks the pull protocol (NATS ADR-37, $JS.API.CONSUMER.MSG.NEXT) itself because the client library's ways
// fall short here. Messages and Consume stall with a small PullMaxMessages: they skip a request
// while the goroutine that sent the last one has not marked it as sent, and wait out its expiry.
// Next and Fetch give up their inbox when their context ends, and what the server sent
// meanwhile stays out until AckWait: with one message in flight, a partition that stands still.
// And all of them take a stored message with a header "Status" for an answer of the server's.
type puller struct {
	nc      *nats.Conn
	subject string
	request []byte
	batch   int
	inbox   *nats.Subscription
	left    int // of the messages asked for
}

// errSilent: the server has forgotten the request, or can not be reached.
var errSilent = errors.New("the server has gone silent")

// standing is how many messages are asked for at once of a consumer that hands out one at a time: the next one then
// comes with the acknowledgement of the last, without being asked for, and never before.
const standing = 256

func newPuller(js jetstream.JetStream, stream string, consumer jetstream.ConsumerConfig) (*puller, error) {
	nc := js.Conn()
	batch := 1 // no more than is worked on: what lies here unread would run into AckWait
	if consumer.MaxAckPending == 1 {
		batch = standing
	}
	request, err := json.Marshal(map[string]any{"batch": batch, "expires": pullExpiry, "idle_heartbeat": pullBeat})
	if err != nil {
		return nil, err
	}
	inbox, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return nil, err
	}
	return &puller{
		nc:      nc,
		subject: apiPrefix(js.Options()) + "CONSUMER.MSG.NEXT." + stream + "." + consumer.Durable,
		request: request,
		batch:   batch,
		inbox:   inbox,
	}, nil
}

// apiPrefix is where the API of this account's, or of another domain's, JetStream listens.
func apiPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	default:
		return jetstream.DefaultAPIPrefix
	}
}

// next waits for one message. After an error, also that of a context that ended, the puller
// must be closed: a request may still stand.
func (p *puller) next(ctx context.Context) (*nats.Msg, error) {
	for {
		if p.left == 0 {
			if err := p.nc.PublishRequest(p.subject, p.inbox.Subject, p.request); err != nil {
				return nil, err
			}
			p.left = p.batch
		}
		m, err := p.receive(ctx)
		if err != nil {
			return nil, err
		}
		if m.Reply != "" { // where to acknowledge: only a stored message has it
			p.left--
			return m, nil
		}
		switch status := m.Header.Get("Status"); status {
		case "100": // a heartbeat
		case "404", "408": // the request has expired
			p.left = 0
		default: // the consumer is gone, or the server refuses
			return nil, fmt.Errorf("the server ended the pull: %s %s", status, m.Header.Get("Description"))
		}
	}
}

func (p *puller) receive(ctx context.Context) (*nats.Msg, error) {
	waiting, cancel := context.WithTimeout(ctx, 2*pullBeat)
	defer cancel()
	m, err := p.inbox.NextMsgWithContext(waiting)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, errSilent
	}
	return m, err
}

// close gives the inbox up and gives back what the server had already sent to it.
func (p *puller) close() {
	if !p.nc.IsConnected() {
		_ = p.inbox.Unsubscribe() // what is out now comes back after AckWait
		return
	}
	if err := p.inbox.Drain(); err != nil {
		return // the connection is closed
	}
	_ = p.nc.FlushTimeout(2 * pullBeat) // once answered, nothing more can arrive
	for {
		n, _, err := p.inbox.Pending()
		if err != nil || n == 0 {
			return
		}
		if m, err := p.inbox.NextMsg(pullBeat); err == nil && m.Reply != "" {
			_ = m.Nak()
		}
	}
}
