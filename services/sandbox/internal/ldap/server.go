// Package ldap shows the simulated directories over LDAP, for reading: simple bind, and searches of
// every scope. It stands for the Active Directory behind Hosted Exchange and Adaxes, by which a
// caller reads what the vendors' own answers leave out.
//
// Sources: RFC 4511 (protocol), RFC 4515 (filters), [MS-ADTS] sections 3.1.1.3 and 5.1.1 (Active
// Directory's ways).
package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/jimlambrt/gldap"

	"github.com/mailwright/mailwright/services/sandbox/internal/fault"
	"github.com/mailwright/mailwright/services/sandbox/internal/journal"
	"github.com/mailwright/mailwright/services/sandbox/internal/state"
)

// Vendor is the name of this interface in journal and faults.
const Vendor = "ldap"

// Server answers LDAP over one world.
type Server struct {
	World   *state.World
	Journal *journal.Journal
	Faults  *fault.Rules
	Log     *slog.Logger
	// TLS lets a connection be encrypted, by StartTLS; nil: never.
	TLS *tls.Config
	// Encrypted expects TLS from the first byte, as ldaps:// has it.
	Encrypted bool

	ldap  *gldap.Server
	mu    sync.Mutex
	bound map[int]bool // connections whose last bind succeeded
}

// Start listens and serves in the background; port 0 takes a free one. It returns the address.
func (s *Server) Start(address string) (string, error) {
	address, err := freePort(address)
	if err != nil {
		return "", err
	}
	s.bound = map[int]bool{}
	if s.ldap, err = gldap.NewServer(gldap.WithLogger(hclog.NewNullLogger()), gldap.WithOnClose(s.forget)); err != nil {
		return "", err
	}
	mux, err := gldap.NewMux()
	if err != nil {
		return "", err
	}
	err = errors.Join(mux.Bind(s.bind), mux.Search(s.search), s.ldap.Router(mux),
		mux.Add(refuse(gldap.ApplicationAddResponse)), mux.Modify(refuse(gldap.ApplicationModifyResponse)), mux.Delete(refuse(gldap.ApplicationDelResponse)),
		mux.ExtendedOperation(s.startTLS, gldap.ExtendedOperationStartTLS), mux.DefaultRoute(refuse(gldap.ApplicationExtendedResponse)))
	if err != nil {
		return "", err
	}
	var options []gldap.Option
	if s.Encrypted {
		options = append(options, gldap.WithTLSConfig(s.TLS))
	}
	failed := make(chan error, 1)
	go func() { failed <- s.ldap.Run(address, options...) }()
	return address, ready(address, failed)
}

// startTLS encrypts a connection (RFC 4511, section 4.14).
func (s *Server) startTLS(w *gldap.ResponseWriter, r *gldap.Request) {
	if s.TLS == nil || s.Encrypted {
		refuse(gldap.ApplicationExtendedResponse)(w, r)
		return
	}
	answer := r.NewExtendedResponse(gldap.WithResponseCode(gldap.ResultSuccess))
	answer.SetResponseName(gldap.ExtendedOperationStartTLS)
	if w.Write(answer) == nil {
		_ = r.StartTLS(s.TLS) // the caller may not like the certificate, and say so itself
	}
}

// freePort replaces port 0: the library does not tell which port it took.
func freePort(address string) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// ready waits until the listener takes connections.
func ready(address string, failed <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			return c.Close()
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Stop closes the listener. It does not wait for connections that their callers keep open.
func (s *Server) Stop() {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = s.ldap.Stop() // its only error is about a listener that is closed already
	}()
	select {
	case <-stopped:
	case <-time.After(time.Second):
	}
}

func (s *Server) forget(connection int) { s.setBound(connection, false) }

func (s *Server) setBound(connection int, bound bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bound {
		s.bound[connection] = true
	} else {
		delete(s.bound, connection)
	}
}

func (s *Server) isBound(connection int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound[connection]
}

// bind takes the accounts of the provisioning system, as DOMAIN\user or user@domain ([MS-ADTS]
// 5.1.1.1.1). A bind without a name is anonymous: it succeeds and opens nothing.
func (s *Server) bind(w *gldap.ResponseWriter, r *gldap.Request) {
	m, err := r.GetSimpleBindMessage()
	if err != nil {
		_ = w.Write(r.NewBindResponse(gldap.WithResponseCode(gldap.ResultAuthMethodNotSupported)))
		return
	}
	code := s.run("bind", m.UserName, func() (int, string) {
		known := s.knows(m.UserName, string(m.Password))
		s.setBound(r.ConnectionID(), known)
		if !known && m.UserName != "" {
			return gldap.ResultInvalidCredentials, "refused"
		}
		return gldap.ResultSuccess, "bound"
	})
	_ = w.Write(r.NewBindResponse(gldap.WithResponseCode(code)))
}

func (s *Server) knows(name, password string) bool {
	for _, c := range s.World.Seed().Hosted.Callers {
		domain, account, _ := strings.Cut(c.Username, `\`)
		userPrincipal := account + "@" + s.World.Seed().Hosted.Domain
		if password == c.Password && (strings.EqualFold(name, domain+`\`+account) || strings.EqualFold(name, userPrincipal)) {
			return true
		}
	}
	return false
}

// refuse answers whatever would change the directory; response is the answer's kind.
func refuse(response int) gldap.HandlerFunc {
	return func(w *gldap.ResponseWriter, r *gldap.Request) {
		_ = w.Write(r.NewResponse(gldap.WithApplicationCode(response), gldap.WithResponseCode(gldap.ResultUnwillingToPerform),
			gldap.WithDiagnosticMessage("the directory is open for reading only")))
	}
}

// run lets a fault strike or does the work, and writes the journal. Of the faults, latency delays;
// every other kind leaves the directory unavailable, since the library cannot drop a connection.
func (s *Server) run(name, target string, work func() (code int, outcome string)) int {
	started := time.Now()
	entry := journal.Entry{Sequence: s.Journal.Next(), Time: s.World.Now(), Vendor: Vendor, Call: name, Target: target}
	delay, rule := s.Faults.Pick(Vendor, name, target)
	if delay > 0 {
		entry.Fault = string(fault.Latency)
		time.Sleep(delay)
	}
	code, outcome := gldap.ResultUnavailable, "nothing done"
	if rule == nil {
		code, outcome = work()
	} else {
		entry.Fault = string(rule.Kind)
	}
	entry.Status, entry.Outcome, entry.Took = code, outcome, time.Since(started)
	s.Journal.Add(entry)
	s.Log.Debug("ldap call", "call", name, "target", target, "code", code, "outcome", outcome, "fault", entry.Fault)
	return code
}
