package bus

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ConnFlags are the settings of a program's connection to NATS. Programs embed it in their
// configuration.
type ConnFlags struct {
	NATSURL string `name:"nats-url" help:"NATS servers, separated by commas." env:"MAILWRIGHT_NATS_URL,NATS_URL" default:"nats://127.0.0.1:4222"`
	AuthFlags
}

// Connect connects to NATS like the function [Connect], with the credentials of the settings.
func (s ConnFlags) Connect(ctx context.Context, name string, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	options, who, err := s.options(name, log)
	if err != nil {
		return nil, nil, err
	}
	nc, err := Connect(ctx, s.NATSURL, name, log, options...)
	return withJetStream(nc, who, err)
}

// Dial connects as Connect does, but does not wait for NATS: until it answers, requests fail.
func (s ConnFlags) Dial(name string, log *slog.Logger) (*nats.Conn, jetstream.JetStream, error) {
	options, who, err := s.options(name, log)
	if err != nil {
		return nil, nil, err
	}
	nc, err := dial(s.NATSURL, name, log, options...)
	return withJetStream(nc, who, err)
}

func withJetStream(nc *nats.Conn, who *login, err error) (*nats.Conn, jetstream.JetStream, error) {
	if err != nil {
		return nil, nil, err
	}
	if who != nil {
		who.conn.Store(nc)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}
