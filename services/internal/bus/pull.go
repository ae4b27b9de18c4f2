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

// puller asks for a consumer's messages, over an inbox of its own.
//
// It speaks the pull protocol (NATS ADR-37, $JS.API.CONSUMER.MSG.NEXT) itself because the client
// library's ways fall short here. Messages and Consume stall with a small PullMaxMessages: they
// skip a request while the goroutine that sent the last one has not marked it as sent, and wait out
// its expiry. Next and Fetch give up their inbox when their context ends, and what the server sent
// meanwhile stays out until AckWait: with one message in flight, a partition that stands still. And
// all of them take a stored message with a header "Status" for an answer of the server's.
type puller struct {
	nc      *nats.Conn
	subject string
	request pullRequest // the last; its ID is the pin, once there is one
	inbox   *nats.Subscription
	arrived chan *nats.Msg // what the server has sent, for read
	beat    *time.Ticker   // for silent
	asked   time.Time
	heard   time.Time
	left    int  // of the messages asked for
	refused bool // the next message was larger than the bytes asked for
}

// pullRequest is what the server is asked: NATS ADR-37, and ADR-42 for group and id.
type pullRequest struct {
	Batch    int           `json:"batch"`
	MaxBytes int           `json:"max_bytes,omitempty"`
	Expires  time.Duration `json:"expires"`
	Beat     time.Duration `json:"idle_heartbeat"`
	Group    string        `json:"group,omitempty"`
	// ID is the pin, for whoever has it.
	ID string `json:"id,omitempty"`
}

// errSilent: the server has forgotten the request, or can not be reached.
var errSilent = errors.New("the server has gone silent")

// errAway: the server may have given what lies here to another.
var errAway = errors.New("what lies here may have been given to another")

const (
	// standing is how many messages are asked for at once of a consumer that hands out one at a
	// time: the next one then comes with the acknowledgement of the last, without being asked for,
	// and never before. An owned consumer hands out no more than may be out.
	standing = 256
	// mostBeats is more than the answers without a message that the server has for one request. The
	// library drops what does not fit into the channel, so it holds these and all the messages of a
	// request.
	mostBeats = 2 * int(pullExpiry/pullBeat)
)

func newPuller(js jetstream.JetStream, stream string, consumer jetstream.ConsumerConfig) (*puller, error) {
	nc := js.Conn()
	// no more than is worked on: what lies here unread would run into AckWait
	request := pullRequest{Batch: 1, Expires: pullExpiry, Beat: pullBeat}
	switch {
	case owned(consumer):
		request.Group, request.Expires = consumer.PriorityGroups[0], min(max(consumer.PinnedTTL/3, 2*pullBeat), pullExpiry)
	case consumer.MaxAckPending == 1:
		request.Batch = standing
	}
	arrived := make(chan *nats.Msg, standing+mostBeats)
	inbox, err := nc.ChanSubscribe(nc.NewInbox(), arrived)
	if err != nil {
		return nil, err
	}
	return &puller{
		nc:      nc,
		subject: apiPrefix(js.Options()) + "CONSUMER.MSG.NEXT." + stream + "." + consumer.Durable,
		request: request,
		inbox:   inbox,
		arrived: arrived,
		beat:    time.NewTicker(pullBeat),
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
	p.heard = time.Now()
	for {
		if p.left == 0 {
			if err := p.ask(p.request.Batch, 0); err != nil {
				return nil, err
			}
		}
		select {
		case m := <-p.arrived:
			if stored, err := p.read(m); stored || err != nil {
				return m, err
			}
		case <-p.beat.C:
			if p.silent() {
				return nil, errSilent
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask asks for messages, of so many bytes together; 0 is any number. There must be none left of
// those asked for before.
func (p *puller) ask(batch, bytes int) error {
	p.request.Batch, p.request.MaxBytes = batch, bytes
	request, err := json.Marshal(p.request)
	if err != nil {
		return err
	}
	p.asked = time.Now()
	p.heard, p.left, p.refused = p.asked, batch, false
	return p.nc.PublishRequest(p.subject, p.inbox.Subject, request)
}

// read tells a stored message from the server's other answers, and takes note of both.
func (p *puller) read(m *nats.Msg) (stored bool, err error) {
	p.heard = time.Now()
	if m.Reply != "" { // where to acknowledge: only a stored message has it
		p.left--
		if p.request.Group != "" {
			p.request.ID = dropPin(m)
		}
		return true, nil
	}
	switch status, description := m.Header.Get("Status"), m.Header.Get("Description"); {
	case status == "100", description == "Batch Completed": // a heartbeat; of a request that was done before its bytes were
	case status == "404", status == "408": // the request has expired
		p.left = 0
	case description == "Message Size Exceeds MaxBytes":
		p.left, p.refused = 0, true
	case status == "423": // the pin has been given to another
		return false, errAway
	default: // the consumer is gone, or the server refuses
		return false, fmt.Errorf("the server ended the pull: %s %s", status, description)
	}
	return false, nil
}

// silent reports whether the server has not been heard of for too long although it holds a request.
func (p *puller) silent() bool {
	return p.left > 0 && len(p.arrived) == 0 && time.Since(p.heard) >= 2*pullBeat
}

// pinHeader is where the server puts its name for the present ownership, behind the message's own
// headers.
const pinHeader = "Nats-Pin-Id"

// dropPin takes that name out of a message.
func dropPin(m *nats.Msg) string {
	pin, others := added(m.Header, pinHeader), len(m.Header[pinHeader])-1
	if others > 0 {
		m.Header[pinHeader] = m.Header[pinHeader][:others]
	} else {
		delete(m.Header, pinHeader)
	}
	return pin
}

// close gives the inbox up and returns the messages that the server had already sent to it, to be
// given back.
func (p *puller) close() (unread []*nats.Msg) {
	p.beat.Stop()
	if !p.nc.IsConnected() {
		_ = p.inbox.Unsubscribe() // what is out now comes back after AckWait
		return nil
	}
	if err := p.inbox.Drain(); err != nil {
		return nil // the connection is closed
	}
	_ = p.nc.FlushTimeout(2 * pullBeat) // once answered, nothing more can arrive
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
