package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailwright/mailwright/services/console/internal/page"
)

const (
	eventStream = "text/event-stream"
	// defaultEvery is how often a live page is read again at most.
	defaultEvery = 2 * time.Second
	// keepAlive is how often a stream without news says that it is alive.
	keepAlive = 10 * time.Second
	// streamTime is how long a stream lasts. The browser asks again, and who asks is looked at
	// again.
	streamTime = 5 * time.Minute
	// keepTopic is how long the latest reading of a page is kept after nobody looks: what is shown
	// while Postgres is away. maxTopics bounds their number.
	keepTopic = 10 * time.Minute
	maxTopics = 500
)

// hub shares one reading of a page among all who look at it.
type hub struct {
	health *health
	log    *slog.Logger

	mu     sync.Mutex
	topics map[string]*topic
}

func newHub(h *health, log *slog.Logger) *hub {
	return &hub{health: h, log: log, topics: map[string]*topic{}}
}

// topic is a page as asked for by a URL, for those who may see the same.
type topic struct {
	hub     *hub
	view    *view
	request *page.Request

	reading sync.Mutex // held while the page is read

	mu      sync.Mutex
	shown   *shown
	version uint64 // of the projections that shown reflects
	used    time.Time
	viewers map[chan struct{}]bool
	changed map[string]uint64 // of each part, the number of the reading that changed it last
	number  uint64            // of readings
}

// topic gives the topic of a request.
func (h *hub) topic(v *view, r *page.Request) *topic {
	key := fmt.Sprintf("%s?%s %d %q %t", r.Path, r.Query.Encode(), r.Person.Role, r.Person.Tenants, r.Person.Tenants == nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[key]
	if t == nil {
		shared := *r
		shared.Person.Name = "" // what is shared must not depend on who looks
		shared.Query = url.Values(http.Header(r.Query).Clone())
		shared.Value = values(v.page.Path, r)
		t = &topic{hub: h, view: v, request: &shared, viewers: map[chan struct{}]bool{}, changed: map[string]uint64{}}
		h.evict()
		h.topics[key] = t
	}
	t.mu.Lock()
	t.used = time.Now()
	t.mu.Unlock()
	return t
}

// values copies what stood in place of the names of a pattern: an http.Request is not kept.
func values(pattern string, r *page.Request) func(string) string {
	kept := map[string]string{}
	for segment := range strings.SplitSeq(pattern, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")
			kept[name] = r.Value(name)
		}
	}
	return func(name string) string { return kept[name] }
}

// evict drops topics that nobody has looked at for long; if there are too many, the oldest too.
// h.mu is held.
func (h *hub) evict() {
	var oldest string
	var since time.Time
	for key, t := range h.topics {
		t.mu.Lock()
		used, watched := t.used, len(t.viewers) > 0
		t.mu.Unlock()
		switch {
		case watched:
		case time.Since(used) > keepTopic:
			delete(h.topics, key)
		case oldest == "" || used.Before(since):
			oldest, since = key, used
		}
	}
	if len(h.topics) >= maxTopics {
		delete(h.topics, oldest)
	}
}

// run reads what people look at again, as it changes, until ctx ends.
func (h *hub) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { h.health.run(ctx, h.log) })
	said := ""
	for tick := time.NewTicker(pollInterval); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			running.Wait()
			return
		case <-tick.C:
		}
		banner := h.banner()
		for _, t := range h.list() {
			if t.due() {
				running.Go(func() { _, _ = t.refresh(ctx) }) // an error stands in what is shown
			} else if banner != said {
				t.tell()
			}
		}
		said = banner
	}
}

func (h *hub) list() []*topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.topics))
}

// tell has every stream look, where only what is away has changed.
func (t *topic) tell() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wake()
}

// due reports whether somebody looks, and what is shown may have changed. While something is away
// the page is read, so that it says whether it could be.
func (t *topic) due() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.viewers) == 0 {
		return false
	}
	every := cmp.Or(t.view.page.Every, defaultEvery)
	return t.shown == nil || time.Since(t.shown.At) >= every && (t.view.page.Always || t.shown.Stale != "" || t.version != t.hub.health.version() || t.hub.health.away())
}

// fresh reports whether what is shown needs no reading.
func (t *topic) fresh() (*shown, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shown, t.shown != nil && t.shown.Stale == "" && time.Since(t.shown.At) < pollInterval
}

// latest is the page as of now; with an error as it was last known, nil if it never was.
func (t *topic) latest(ctx context.Context) (*shown, error) {
	if s, ok := t.fresh(); ok {
		return s, nil
	}
	return t.refresh(ctx)
}

// refresh reads the page. Those who ask meanwhile wait for this reading and share it.
func (t *topic) refresh(ctx context.Context) (*shown, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	if s, ok := t.fresh(); ok {
		return s, nil
	}
	version := t.hub.health.version()
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	s, err := t.view.load(ctx, t.request)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		return t.keep(err)
	}
	t.number++
	for name, html := range s.parts {
		if t.shown == nil || t.shown.parts[name] != html {
			t.changed[name] = t.number
		}
	}
	t.shown, t.version = s, version
	t.wake()
	return s, nil
}

// keep goes on with what was known. t.mu is held.
func (t *topic) keep(err error) (*shown, error) {
	if told, ok := page.Explain(err); ok && told.Status < http.StatusInternalServerError || errors.Is(err, context.Canceled) {
		return nil, err
	}
	if t.shown == nil {
		return nil, err
	}
	old := *t.shown
	old.Stale = t.hub.health.explain(err).Text
	t.shown = &old
	t.wake()
	return t.shown, err
}

// wake has every stream look. t.mu is held.
func (t *topic) wake() {
	for v := range t.viewers {
		select {
		case v <- struct{}{}:
		default: // it has not looked since the last time, and will see both
		}
	}
}

// stream sends the parts of a page as they change, until the browser goes.
func (h *hub) stream(w http.ResponseWriter, r *http.Request, t *topic) {
	news := make(chan struct{}, 1)
	t.mu.Lock()
	t.viewers[news] = true
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.viewers, news)
		t.used = time.Now()
		t.mu.Unlock()
	}()
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	var seen uint64
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	end := time.NewTimer(streamTime)
	defer end.Stop()
	for banner := ""; ; {
		var text []byte
		text, seen = t.since(seen)
		if said := h.banner(); said != banner {
			banner = said
			text = append(text, said...)
		}
		if _, err := w.Write(append(text, ": alive\n\n"...)); err != nil { //nolint:gosec // JSON of what html/template wrote
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-news:
		case <-alive.C:
		case <-end.C:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// since words the parts that changed after a reading, as server-sent events.
func (t *topic) since(seen uint64) ([]byte, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shown == nil {
		return nil, seen
	}
	var w bytes.Buffer
	for _, name := range t.view.page.Live {
		if t.changed[name] > seen {
			event(&w, "part", map[string]string{"id": name, "html": t.shown.parts[name]})
		}
	}
	event(&w, "state", map[string]string{"at": t.shown.At.UTC().Format(time.RFC3339Nano), "stale": t.shown.Stale})
	return w.Bytes(), t.number
}

// banner words what is away, as a server-sent event.
func (h *hub) banner() string {
	var w bytes.Buffer
	list := []map[string]string{}
	for _, p := range h.health.problems() {
		list = append(list, map[string]string{"text": p.Text, "since": p.Since.UTC().Format(time.RFC3339Nano)})
	}
	event(&w, "problems", list)
	return w.String()
}

func event(w *bytes.Buffer, name string, data any) {
	fmt.Fprintf(w, "event: %s\ndata: ", name)
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	_ = out.Encode(data) // maps of text do not fail; it ends the line
	w.WriteString("\n")
}
