// Package embedded runs servers inside the process, for `mailwright dev` and for tests.
package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSConfig configures an embedded NATS server with JetStream.
type NATSConfig struct {
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// StoreDir holds JetStream's files. A server started on it again has all that was stored.
	StoreDir string
	// SyncAlways puts each stored message on the disk before it is acknowledged, so that
	// acknowledged messages outlive the machine's crash as well as the process's. Slower.
	SyncAlways bool
	// Users is a file of a NATS configuration with accounts and users; "" lets everyone do
	// everything.
	Users string
	// TLS, if set, is required of every connection.
	TLS *tls.Config
}

// NATS is a running server.
type NATS struct{ server *server.Server }

// natsStart is how long a server may take until it accepts connections; it recovers its
// streams before.
const natsStart = 30 * time.Second

// StartNATS starts a server that listens on the loopback interface only, and returns when it
// accepts connections.
func StartNATS(c NATSConfig) (*NATS, error) {
	if c.StoreDir == "" {
		return nil, errors.New("embedded: NATS needs a StoreDir")
	}
	port := server.RANDOM_PORT
	if c.Port != 0 {
		port = c.Port
		if err := free(c.Port); err != nil {
			return nil, fmt.Errorf("embedded: NATS: %w", err)
		}
	}
	options := &server.Options{}
	if c.Users != "" {
		var err error
		if options, err = server.ProcessConfigFile(c.Users); err != nil {
			return nil, fmt.Errorf("embedded: NATS: %w", err)
		}
	}
	options.ServerName = "mailwright-embedded"
	options.Host = "127.0.0.1"
	options.Port = port
	options.JetStream = true
	options.StoreDir = c.StoreDir
	options.SyncAlways = c.SyncAlways
	options.TLSConfig = c.TLS
	return StartServer(options)
}

// StartServer starts a server with options of its own, for tests of clusters, accounts and limits.
// It writes no log and leaves the process's signals alone. It returns when the server accepts
// connections.
func StartServer(options *server.Options) (*NATS, error) {
	options.NoLog = true
	options.NoSigs = true
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("embedded: NATS: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(natsStart) || options.JetStream && !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, fmt.Errorf("embedded: NATS did not start on %s:%d with the files in %s", options.Host, options.Port, options.StoreDir)
	}
	return &NATS{server: s}, nil
}

// free finds a port in use out at once: the server itself would only go on trying.
func free(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	return l.Close()
}

// URL is the address for clients.
func (n *NATS) URL() string { return n.server.ClientURL() }

// Shutdown stops the server and returns when its files are closed.
func (n *NATS) Shutdown() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}
