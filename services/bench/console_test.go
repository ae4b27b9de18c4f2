package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"sync"
	"testing"
	"time"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
	"github.com/mailwright/mailwright/services/internal/benchmark"
)

const (
	viewers = 200
	// viewedRate is the load beside the viewers, in commands a second.
	viewedRate = 500
	// viewedCommands are half a minute of it.
	viewedCommands = 30 * viewedRate
	// lookEvery is how often a viewer opens a page anew, beside the stream of what is open.
	lookEvery = 5 * time.Second

	maxPageP99   = 200.0 // ms
	maxOfConsole = 5.0   // percent of the machine
)

// viewed are the pages that viewers have open.
var viewed = []string{"/", "/operations", "/operations?state=waiting", "/system"}

// BenchmarkConsole carries 500 commands a second out, without and with a console whose live pages
// 200 viewers have open. The viewers run in this process, on the same machine.
func BenchmarkConsole(b *testing.B) {
	h := newHost(b)
	for b.Loop() {
		s := scenario{latency: 10 * time.Millisecond, tenants: 20, commands: viewedCommands}
		without := h.once(b, s, ours, func(y *system) round { return y.paced(s, viewedRate) })
		var pages []time.Duration
		with := h.once(b, s, ours, func(y *system) round {
			console := y.startConsole()
			ctx, end := context.WithCancel(b.Context())
			look := newLooks(ctx, b, console)
			r := y.paced(s, viewedRate)
			end()
			pages = look.wait()
			return r
		})
		var r report
		name := fmt.Sprintf("console, %d viewers beside %d commands a second", viewers, viewedRate)
		r.atMost(maxPageP99, benchmark.Row{Name: name + ": p99 of a page", Value: percentile(pages, .99), Unit: "ms"})
		r.add(benchmark.Row{Name: name + ": p50 of a page", Value: percentile(pages, .5), Unit: "ms"})
		r.add(benchmark.Row{Name: name + ": memory", Value: with.peak[stack.Console], Unit: "MiB"})
		const cores, percent = 2, 100
		r.atMost(maxOfConsole, benchmark.Row{Name: name + ": CPU of the console and of what it asks of Postgres, of 2 cores",
			Value: (with.cpu[stack.Console] + with.cpu[partPostgres] - without.cpu[partPostgres]) * viewedRate / 1e6 / cores * percent, Unit: "%"})
		r.add(benchmark.Row{Name: name + ": p99 from publish to outcome, without it", Value: percentile(without.toOutcome, .99), Unit: "ms"})
		r.add(benchmark.Row{Name: name + ": p99 from publish to outcome", Value: percentile(with.toOutcome, .99), Unit: "ms"})
		r.add(benchmark.Row{Name: name + ": p99 from publish to row, without it", Value: percentile(without.toRow, .99), Unit: "ms"})
		r.add(benchmark.Row{Name: name + ": p99 from publish to row", Value: percentile(with.toRow, .99), Unit: "ms"})
		for _, v := range r.verdicts {
			fmt.Println("bench:", v)
		}
		benchmark.Report(b, r.rows...)
	}
}

const benchToken = "bench"

// startConsole starts a console of the system, and gives its address.
func (y *system) startConsole() string {
	y.Helper()
	listen, health := y.freeAddress(), y.freeAddress()
	env := []string{"MAILWRIGHT_NATS_URL=" + y.nc.ConnectedUrl(), "MAILWRIGHT_DATABASE_URL=" + y.databaseURL(), "MAILWRIGHT_TOKEN=" + benchToken}
	if err := y.run(stack.Console, y.host.bin, env, "--listen", listen, "--http", health); err != nil {
		y.Fatal(err)
	}
	if err := y.await("the console", func() error { return stack.Answers(y.Context(), "http://"+health+"/readyz", "") }); err != nil {
		y.Fatal(err)
	}
	return "http://" + listen
}

// looks are the viewers, and how long each page took that one of them opened.
type looks struct {
	b       *testing.B
	running sync.WaitGroup
	mu      sync.Mutex
	took    []time.Duration
	parts   int // that came by streams
}

func newLooks(ctx context.Context, b *testing.B, console string) *looks {
	b.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * viewers}}
	res, err := browser.Get(console + "/sign-in?token=" + benchToken)
	if err != nil {
		b.Fatal(err)
	}
	_ = res.Body.Close()
	l := &looks{b: b}
	for i := range viewers {
		page := console + viewed[i%len(viewed)]
		l.running.Go(func() { l.follow(ctx, browser, page) })
		l.running.Go(func() {
			select { // not all at once
			case <-time.After(time.Duration(i) * lookEvery / viewers):
			case <-ctx.Done():
			}
			l.open(ctx, browser, page)
		})
	}
	return l
}

// follow reads the stream of a page.
func (l *looks) follow(ctx context.Context, browser *http.Client, page string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		l.b.Error(err)
		return
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := browser.Do(req)
	if err != nil {
		if ctx.Err() == nil {
			l.b.Error(err)
		}
		return
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewReader(res.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if line == "event: part\n" {
			l.mu.Lock()
			l.parts++
			l.mu.Unlock()
		}
	}
}

// open opens a page again and again.
func (l *looks) open(ctx context.Context, browser *http.Client, page string) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
		if err != nil {
			l.b.Error(err)
			return
		}
		res, err := browser.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		if err == nil && res.StatusCode == http.StatusOK {
			l.mu.Lock()
			l.took = append(l.took, time.Since(began))
			l.mu.Unlock()
		} else if ctx.Err() == nil {
			l.b.Errorf("%s: %v", page, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// wait gives how long pages took, once the viewers have ended. Viewers that saw nothing change
// measured nothing.
func (l *looks) wait() []time.Duration {
	l.b.Helper()
	l.running.Wait()
	if l.parts < viewers || len(l.took) < viewers {
		l.b.Fatalf("%d parts came and %d pages were opened", l.parts, len(l.took))
	}
	l.b.Logf("%d parts came by streams, %d pages were opened", l.parts, len(l.took))
	return l.took
}
