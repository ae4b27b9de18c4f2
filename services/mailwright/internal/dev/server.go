package dev

import (
	"context"

	"github.com/mailwright/mailwright/pkg/testkit/certs"
	"github.com/mailwright/mailwright/pkg/testkit/embedded"
)

// Server is the hidden command by which `mailwright dev` runs NATS as a process of its own.
type Server struct {
	Port  int    `help:"Port on 127.0.0.1; 0 takes a free one." default:"4222"`
	Store string `help:"Folder of JetStream's files." required:"" type:"path"`
	Users string `help:"File with the accounts and users, as 'mailwright nats permissions' writes them." type:"path"`
	Cert  string `help:"File with the server's certificate; TLS is required then." type:"path"`
	Key   string `help:"File with the key of --cert." type:"path"`
}

// Run implements the command.
func (c *Server) Run(ctx context.Context) error {
	config := embedded.NATSConfig{Port: c.Port, StoreDir: c.Store, Users: c.Users}
	if c.Cert != "" {
		config.TLS = certs.ServerConfig(c.Cert, c.Key)
	}
	server, err := embedded.StartNATS(config)
	if err != nil {
		return err
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}
