package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ConnFlags are the settings of a program's connection to NATS. Programs embed it in their
// configuration.
type ConnFlags struct {
	NATSURL string `name:"nats-url" help:"NATS servers, separated by commas." env:"MAILWRIGHT_NATS_URL,NATS_URL" default:"nats://127.0.0.1:4222"`
	AuthFlags
	JetStreamFlags
}

// JetStreamFlags say which JetStream a program uses, where it is not that of its own account on its
// own server.
type JetStreamFlags struct {
	JSDomain    string `name:"js-domain" help:"JetStream domain in which the streams are, where NATS is reached through a leaf node." placeholder:"NAME"`
	JSAPIPrefix string `name:"js-api-prefix" help:"Prefix under which the account imports JetStream's API from the account that has the streams." placeholder:"PREFIX"`
}

// Options are those of a JetStream handle. The error names the flag.
func (f JetStreamFlags) Options() (jetstream.JetStreamOptions, error) {
	o := jetstream.JetStreamOptions{Domain: f.JSDomain, APIPrefix: f.JSAPIPrefix}
	switch {
	case f.JSDomain != "" && f.JSAPIPrefix != "":
		return o, errors.New("bus: --js-domain and --js-api-prefix are two ways to the same API; give one")
	case strings.ContainsAny(f.JSDomain, ".*> \t"):
		return o, fmt.Errorf("bus: --js-domain %q is no name of a domain: it has no dot, wildcard or space", f.JSDomain)
	case strings.ContainsAny(f.JSAPIPrefix, "*> \t"):
		return o, fmt.Errorf("bus: --js-api-prefix %q is no prefix of subjects: it has no wildcard or space", f.JSAPIPrefix)
	default:
		return o, nil
	}
}

// NewJetStream returns a handle that uses the same JetStream as the options o say. It is where every
// handle of the services is made.
func NewJetStream(nc *nats.Conn, o jetstream.JetStreamOptions, options ...jetstream.JetStreamOpt) (jetstream.JetStream, error) {
	switch {
	case o.Domain != "":
		return jetstream.NewWithDomain(nc, o.Domain, options...)
	case o.APIPrefix != "":
		return jetstream.NewWithAPIPrefix(nc, o.APIPrefix, options...)
	default:
		return jetstream.New(nc, options...)
	}
}

// Connect connects to NATS like the function [Connect], with the credentials of the settings.
func (s ConnFlags) Connect(ctx context.Context, name string, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	return s.connect(name, log, func(options ...nats.Option) (*nats.Conn, error) {
		return Connect(ctx, s.NATSURL, name, log, options...)
	})
}

// Dial connects as Connect does, but does not wait for NATS: until it answers, requests fail.
func (s ConnFlags) Dial(name string, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	return s.connect(name, log, func(options ...nats.Option) (*nats.Conn, error) {
		return dial(s.NATSURL, name, log, options...)
	})
}

func (s ConnFlags) connect(name string, log *slog.Logger, connect func(...nats.Option) (*nats.Conn, error)) (*nats.Conn, jetstream.JetStream, error) {
	options, who, err := s.options(name, log)
	if err != nil {
		return nil, nil, err
	}
	where, err := s.Options()
	if err != nil {
		return nil, nil, err
	}
	nc, err := connect(options...)
	if err != nil {
		return nil, nil, err
	}
	if who != nil {
		who.conn.Store(nc)
	}
	js, err := NewJetStream(nc, where)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}
