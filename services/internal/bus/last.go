package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// LastMessageReader reads the last message of subjects of a stream, past every consumer. Callers
// that come while a request is under way share the next one (NATS ADR-31, "multi-subject
// requests"), so each read costs less the more of them there are. A stream with several replicas is
// read from its leader, subject by subject, because another replica may lag behind.
//
// orbit.go's jetstreamext.GetLastMsgsFor (v0.3.1) sends the same request, but does not serve here:
//   - It takes the first value of a header. A publisher that sets Nats-Subject or Nats-Sequence
//     would decide which message is read. The server's value is the last one: see lastValue. (The
//     Java client had the same fault: github.com/nats-io/nats.java/pull/1016.)
//   - It ends at the first stored message without data and with a header "Status: 404".
//   - It sets no max_bytes, and does not continue a reply that the server has cut off.
//   - Each call is a request of its own.
type LastMessageReader struct {
	stream  jetstream.Stream
	nc      *nats.Conn
	subject string
	// inboxes are the idle ones, nil before their first use. Their number bounds the requests under
	// way.
	inboxes chan *replyInbox

	mu   sync.Mutex
	next *sharedRead // is not sent yet
}

// replyInbox receives the replies to one request after another.
type replyInbox struct {
	subscription *nats.Subscription
	replies      chan *nats.Msg
}

// sharedRead is one request for all callers that share it.
type sharedRead struct {
	subjects []string
	asked    map[string]bool // the subjects, each once
	done     chan struct{}   // closed when found and err are set
	found    map[string]Delivery
	err      error
}

const (
	// readTimeout bounds the wait for the next message of a reply.
	readTimeout = 5 * time.Second
	// maxSharedReads is the number of requests under way at once.
	maxSharedReads = 2
	// maxSubjects is the number of subjects of one request. The server allows 1,024.
	maxSubjects = 512
	// maxReplyBytes is about how much the server sends for one request.
	maxReplyBytes = 4 << 20
)

// NewLastMessageReader returns a reader of a stream.
func NewLastMessageReader(js jetstream.JetStream, stream jetstream.Stream) *LastMessageReader {
	l := &LastMessageReader{
		stream:  stream,
		nc:      js.Conn(),
		subject: topology.APIPrefix(js.Options()) + "DIRECT.GET." + stream.CachedInfo().Config.Name,
		inboxes: make(chan *replyInbox, maxSharedReads),
	}
	for range maxSharedReads {
		l.inboxes <- nil
	}
	return l
}

// PendingRead is a read that a [LastMessageReader] has begun.
type PendingRead struct {
	subject string
	shared  *sharedRead // nil if the subject is invalid
}

// Request begins to read the last message of a subject. [PendingRead.Wait] refuses a subject with
// wildcards: any number of messages would match, at the expense of the callers that share the
// request.
func (l *LastMessageReader) Request(subject string) PendingRead {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || topology.IsWildcard(token) {
			return PendingRead{subject, nil}
		}
	}
	return PendingRead{subject, l.join(subject)}
}

// Wait waits for the message; found is false if the subject has none. It is an error if the server
// does not reply for five seconds.
func (r PendingRead) Wait() (last Delivery, found bool, err error) {
	if r.shared == nil {
		return last, false, fmt.Errorf("bus: %q is not the subject of a message", r.subject)
	}
	<-r.shared.done
	last, found = r.shared.found[r.subject]
	return last, found, r.shared.err
}

// join adds a subject to the next request, which is sent when an inbox is idle.
func (l *LastMessageReader) join(subject string) *sharedRead {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil || len(l.next.subjects) == maxSubjects {
		l.next = &sharedRead{done: make(chan struct{}), asked: map[string]bool{}}
		go l.send(l.next)
	}
	if !l.next.asked[subject] {
		l.next.asked[subject] = true
		l.next.subjects = append(l.next.subjects, subject)
	}
	return l.next
}

func (l *LastMessageReader) send(r *sharedRead) {
	inbox := <-l.inboxes
	l.mu.Lock()
	if l.next == r {
		l.next = nil
	}
	l.mu.Unlock()
	if l.stream.CachedInfo().Config.AllowDirect {
		r.found, inbox, r.err = l.readDirect(inbox, r.subjects)
	} else {
		r.found, r.err = l.readFromLeader(r.subjects)
	}
	l.inboxes <- inbox
	close(r.done)
}

// readDirect sends requests until no subject is left: a reply of more than maxReplyBytes is cut
// off. It returns the inbox for the next request, or nil if late replies may still come to it.
func (l *LastMessageReader) readDirect(inbox *replyInbox, subjects []string) (last map[string]Delivery, idle *replyInbox, err error) {
	if inbox == nil {
		// nats.go drops what does not fit: a message for each subject, and the end
		inbox = &replyInbox{replies: make(chan *nats.Msg, maxSubjects+1)}
		if inbox.subscription, err = l.nc.ChanSubscribe(l.nc.NewInbox(), inbox.replies); err != nil {
			return nil, nil, err
		}
	}
	last = map[string]Delivery{}
	for {
		end, err := l.exchange(inbox, subjects, last)
		if err != nil {
			_ = inbox.subscription.Unsubscribe() // the connection may be closed
			return nil, nil, err
		}
		switch status, description := end.Get("Status"), end.Get("Description"); {
		case status == "404" && description == "No Results", status == "204" && end.Get(numPendingHeader) == "0":
			return last, inbox, nil
		case status == "204":
			subjects = slices.DeleteFunc(subjects, func(s string) bool { _, found := last[s]; return found })
		default:
			return nil, inbox, fmt.Errorf("read %s directly: the server replies %s %s", l.name(), status, description)
		}
	}
}

// exchange sends one request and adds the messages of the reply to last. It returns the header of
// the reply's end.
func (l *LastMessageReader) exchange(inbox *replyInbox, subjects []string, last map[string]Delivery) (nats.Header, error) {
	body, err := json.Marshal(map[string]any{"multi_last": subjects, "max_bytes": maxReplyBytes})
	if err != nil {
		return nil, err
	}
	if err := l.nc.PublishRequest(l.subject, inbox.subscription.Subject, body); err != nil {
		return nil, err
	}
	timeout := time.NewTimer(readTimeout)
	defer timeout.Stop()
	for {
		select {
		case m := <-inbox.replies:
			timeout.Reset(readTimeout)
			d, ok := deliveryOfReply(l.name(), m)
			if !ok {
				return m.Header, nil
			}
			last[d.Subject] = d
		case <-timeout.C:
			return nil, fmt.Errorf("read %s directly: no reply within %v", l.name(), readTimeout)
		}
	}
}

// readFromLeader sends a request for each subject to the stream's leader.
func (l *LastMessageReader) readFromLeader(subjects []string) (map[string]Delivery, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	var mu sync.Mutex
	last := map[string]Delivery{}
	group, ctx := errgroup.WithContext(ctx)
	for _, subject := range subjects {
		group.Go(func() error {
			m, err := l.stream.GetLastMsgForSubject(ctx, subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", l.name(), err)
			}
			mu.Lock()
			defer mu.Unlock()
			last[subject] = deliveryOfStored(l.name(), m)
			return nil
		})
	}
	return last, group.Wait()
}

func (l *LastMessageReader) name() string { return l.stream.CachedInfo().Config.Name }

func deliveryOfStored(stream string, m *jetstream.RawStreamMsg) Delivery {
	return Delivery{Stream: stream, Subject: m.Subject, Sequence: m.Sequence, StoredAt: m.Time, Header: m.Header, Data: m.Data}
}

// deliveryOfReply returns the message in a reply to a direct read; ok is false for a status
// message.
func deliveryOfReply(stream string, m *nats.Msg) (d Delivery, ok bool) {
	sequence, err := strconv.ParseUint(lastValue(m.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return d, false
	}
	at, err := time.Parse(time.RFC3339Nano, lastValue(m.Header, jetstream.TimeStampHeaer))
	if err != nil {
		return d, false
	}
	d = Delivery{Stream: stream, Subject: lastValue(m.Header, jetstream.SubjectHeader), Sequence: sequence, StoredAt: at, Header: m.Header, Data: m.Data}
	for _, name := range replyHeaders {
		m.Header.Del(name)
	}
	return d, true
}

// numPendingHeader is the number of messages that a reply has left out.
const numPendingHeader = "Nats-Num-Pending"

// replyHeaders are the headers that the server adds to a message that is read directly.
var replyHeaders = []string{
	jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader, jetstream.TimeStampHeaer, jetstream.LastSequenceHeader, numPendingHeader,
}

// lastValue returns the last value of a header. The server adds its headers behind those of the
// message, so the last value is the server's even if the publisher has set the same header.
func lastValue(h nats.Header, name string) string {
	values := h[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// Read reads the message with a sequence, past every consumer; found is false if the stream has
// none. nats.go's own GetMsg, in its direct form, takes headers that a publisher has set for the
// server's.
func Read(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, sequence uint64) (d Delivery, found bool, err error) {
	return readOne(ctx, js, stream, map[string]any{"seq": sequence}, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return stream.GetMsg(ctx, sequence)
	})
}

// ReadLast reads the last message on the subjects that match a filter, as [Read] does.
func ReadLast(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, filter string) (d Delivery, found bool, err error) {
	return readOne(ctx, js, stream, map[string]any{"last_by_subj": filter}, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return stream.GetLastMsgForSubject(ctx, filter)
	})
}

// readOne sends a request for a message to any server that has the stream, or asks its leader.
func readOne(
	ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, request map[string]any, askLeader func(context.Context) (*jetstream.RawStreamMsg, error),
) (d Delivery, found bool, err error) {
	config := stream.CachedInfo().Config
	if !config.AllowDirect {
		m, err := askLeader(ctx)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return d, false, nil
		}
		if err != nil {
			return d, false, fmt.Errorf("read message %v of %s: %w", request, config.Name, err)
		}
		return deliveryOfStored(config.Name, m), true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	body, err := json.Marshal(request)
	if err != nil {
		return d, false, err
	}
	m, err := js.Conn().RequestWithContext(ctx, topology.APIPrefix(js.Options())+"DIRECT.GET."+config.Name, body)
	if err != nil {
		return d, false, fmt.Errorf("read message %v of %s: %w", request, config.Name, err)
	}
	if d, found = deliveryOfReply(config.Name, m); found {
		return d, true, nil
	}
	if status := m.Header.Get("Status"); status != "404" {
		return d, false, fmt.Errorf("read message %v of %s: the server replies %s %s", request, config.Name, status, m.Header.Get("Description"))
	}
	return d, false, nil
}
