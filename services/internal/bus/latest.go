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

// LastMessageReader reads the last message of subjects of a stream, past every consumer. Those who ask while
// others are being answered share one request (NATS ADR-31, "multi-subject requests", which the
// client library does not know), so it costs each less the more ask. Where several servers hold the
// stream one that lags might answer, so there the leader is asked, subject by subject.
type LastMessageReader struct {
	stream  jetstream.Stream
	nc      *nats.Conn
	subject string
	lines   chan *line // idle: they bound the requests under way

	mu   sync.Mutex
	next *request // that still takes others along
}

// line is where the answers to one request after another come; nil before the first.
type line struct {
	inbox   *nats.Subscription
	answers chan *nats.Msg
}

// request is one for those who share it.
type request struct {
	subjects []string
	answered chan struct{} // closed when found and err are there
	found    map[string]Delivery
	err      error
}

const (
	// latestPatience bounds the wait for the next message of an answer.
	latestPatience = 5 * time.Second
	// mostRequests are under way at once.
	mostRequests = 2
	// mostSubjects share a request. The server answers for 1,024 at most, and the library drops
	// what a line has no place for.
	mostSubjects = 512
	// latestBytes is about how much the server sends at once.
	latestBytes = 4 << 20
)

// NewLastMessageReader returns a reader of a stream.
func NewLastMessageReader(js jetstream.JetStream, stream jetstream.Stream) *LastMessageReader {
	name := stream.CachedInfo().Config.Name
	l := &LastMessageReader{stream: stream, nc: js.Conn(), subject: apiPrefix(js.Options()) + "DIRECT.GET." + name, lines: make(chan *line, mostRequests)}
	for range mostRequests {
		l.lines <- nil
	}
	return l
}

// PendingRead is one that has been asked of a [LastMessageReader].
type PendingRead struct {
	subject string
	shared  *request // nil where the subject is none of a message
}

// Request asks for the last message of a subject. What is no subject of a message is refused: a pattern
// would be answered by any number of messages, at the expense of those who share the request.
func (l *LastMessageReader) Request(subject string) PendingRead {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || topology.IsWildcard(token) {
			return PendingRead{subject, nil}
		}
	}
	return PendingRead{subject, l.join(subject)}
}

// Wait waits for the message; found is false where there is none. It takes a server that does not
// answer a few seconds to be an error.
func (q PendingRead) Wait() (last Delivery, found bool, err error) {
	if q.shared == nil {
		return last, false, fmt.Errorf("bus: %q is not the subject of a message", q.subject)
	}
	<-q.shared.answered
	last, found = q.shared.found[q.subject]
	return last, found, q.shared.err
}

// join adds a subject to the next request, which is sent when it is its turn.
func (l *LastMessageReader) join(subject string) *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil || len(l.next.subjects) == mostSubjects {
		l.next = &request{answered: make(chan struct{})}
		go l.send(l.next)
	}
	l.next.subjects = append(l.next.subjects, subject)
	return l.next
}

func (l *LastMessageReader) send(r *request) {
	line := <-l.lines
	l.mu.Lock()
	if l.next == r {
		l.next = nil
	}
	l.mu.Unlock()
	if l.stream.CachedInfo().Config.AllowDirect {
		r.found, line, r.err = l.direct(line, r.subjects)
	} else {
		r.found, r.err = l.leader(r.subjects)
	}
	l.lines <- line
	close(r.answered)
}

// direct asks over a line, again while the answers are too large together. It returns the line for
// the next request: none where more answers may come to it.
func (l *LastMessageReader) direct(over *line, subjects []string) (last map[string]Delivery, _ *line, err error) {
	if over == nil {
		over = &line{answers: make(chan *nats.Msg, mostSubjects+1)} // and the end
		if over.inbox, err = l.nc.ChanSubscribe(l.nc.NewInbox(), over.answers); err != nil {
			return nil, nil, err
		}
	}
	last = map[string]Delivery{}
	for {
		end, err := l.exchange(over, subjects, last)
		if err != nil {
			_ = over.inbox.Unsubscribe()
			return nil, nil, err
		}
		switch status, description := end.Get("Status"), end.Get("Description"); {
		case status == "404" && description == "No Results", status == "204" && end.Get(numPendingHeader) == "0":
			return last, over, nil
		case status == "204":
			subjects = slices.DeleteFunc(subjects, func(s string) bool { _, found := last[s]; return found })
		default:
			return nil, over, fmt.Errorf("read %s directly: the server answers %s %s", l.name(), status, description)
		}
	}
}

// exchange sends one request and reads its answers; it returns how they end.
func (l *LastMessageReader) exchange(over *line, subjects []string, last map[string]Delivery) (nats.Header, error) {
	request, err := json.Marshal(map[string]any{"multi_last": subjects, "max_bytes": latestBytes})
	if err != nil {
		return nil, err
	}
	if err := l.nc.PublishRequest(l.subject, over.inbox.Subject, request); err != nil {
		return nil, err
	}
	patience := time.NewTimer(latestPatience)
	defer patience.Stop()
	for {
		select {
		case m := <-over.answers:
			patience.Reset(latestPatience)
			found, ok := stored(l.name(), m)
			if !ok {
				return m.Header, nil
			}
			last[found.Subject] = found
		case <-patience.C:
			return nil, fmt.Errorf("read %s directly: no answer within %v", l.name(), latestPatience)
		}
	}
}

// leader asks the stream's leader, for each subject.
func (l *LastMessageReader) leader(subjects []string) (map[string]Delivery, error) {
	ctx, cancel := context.WithTimeout(context.Background(), latestPatience)
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
			last[subject] = Delivery{Stream: l.name(), Subject: m.Subject, Sequence: m.Sequence, StoredAt: m.Time, Header: m.Header, Data: m.Data}
			return nil
		})
	}
	return last, group.Wait()
}

func (l *LastMessageReader) name() string { return l.stream.CachedInfo().Config.Name }

// stored reads the message that an answer carries; ok is false where it is a status.
func stored(stream string, m *nats.Msg) (d Delivery, ok bool) {
	sequence, err := strconv.ParseUint(added(m.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return d, false
	}
	at, err := time.Parse(time.RFC3339Nano, added(m.Header, jetstream.TimeStampHeaer))
	if err != nil {
		return d, false
	}
	d = Delivery{Stream: stream, Subject: added(m.Header, jetstream.SubjectHeader), Sequence: sequence, StoredAt: at, Header: m.Header, Data: m.Data}
	for _, name := range addedHeaders {
		m.Header.Del(name)
	}
	return d, true
}

// numPendingHeader is how many answers there would be besides.
const numPendingHeader = "Nats-Num-Pending"

// addedHeaders are what the server puts behind the message's own headers.
var addedHeaders = []string{
	jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader, jetstream.TimeStampHeaer, jetstream.LastSequenceHeader, numPendingHeader,
}

// added reads such a header: the last value is the server's, whatever a publisher has put before
// it.
func added(h nats.Header, name string) string {
	values := h[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// Read reads the message of a sequence, past every consumer; found is false where the stream holds
// none. The library's own GetMsg takes a publisher's headers for the server's where it reads
// directly.
func Read(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, sequence uint64) (d Delivery, found bool, err error) {
	config := stream.CachedInfo().Config
	if !config.AllowDirect {
		m, err := stream.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return d, false, nil
		}
		if err != nil {
			return d, false, fmt.Errorf("read message %d of %s: %w", sequence, config.Name, err)
		}
		return Delivery{Stream: config.Name, Subject: m.Subject, Sequence: m.Sequence, StoredAt: m.Time, Header: m.Header, Data: m.Data}, true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, latestPatience)
	defer cancel()
	request := fmt.Appendf(nil, `{"seq":%d}`, sequence)
	m, err := js.Conn().RequestWithContext(ctx, apiPrefix(js.Options())+"DIRECT.GET."+config.Name, request)
	if err != nil {
		return d, false, fmt.Errorf("read message %d of %s: %w", sequence, config.Name, err)
	}
	if d, found = stored(config.Name, m); found {
		return d, true, nil
	}
	if status := m.Header.Get("Status"); status != "404" {
		return d, false, fmt.Errorf("read message %d of %s: the server answers %s %s", sequence, config.Name, status, m.Header.Get("Description"))
	}
	return d, false, nil
}
