package bus

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/mailwright/mailwright/services/internal/livefile"
)

// identity is who a program is at NATS: the public nkey of a user, its JWT if it has one, and the
// key that signs what the server asks to be signed.
type identity struct {
	jwt, public string
	key         nkeys.KeyPair
}

// readSeed reads the seed of a user's nkey. The error quotes nothing of the file.
func readSeed(file string) (*identity, error) {
	return readIdentity(file, "holds no seed of a user that can be read", func(text []byte) (string, nkeys.KeyPair, error) {
		pair, err := nkeys.ParseDecoratedNKey(text)
		return "", pair, err
	})
}

// readCreds reads credentials: a JWT and the seed of its user. The error quotes nothing of the
// file.
func readCreds(file string) (*identity, error) {
	return readIdentity(file, "holds no credentials that can be read", func(text []byte) (string, nkeys.KeyPair, error) {
		jwt, err := nkeys.ParseDecoratedJWT(text)
		if err != nil {
			return "", nil, err
		}
		pair, err := nkeys.ParseDecoratedUserNKey(text)
		return jwt, pair, err
	})
}

func readIdentity(file, fault string, parse func([]byte) (string, nkeys.KeyPair, error)) (*identity, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	unreadable := fmt.Errorf("%s %s", file, fault)
	jwt, pair, err := parse(text)
	if err != nil {
		return nil, unreadable
	}
	public, err := pair.PublicKey()
	if err != nil || !nkeys.IsValidPublicUserKey(public) {
		return nil, unreadable
	}
	return &identity{jwt, public, pair}, nil
}

// login proves to NATS who the program is, each time it connects, by what its file holds then.
type login struct {
	file *livefile.File[*identity]
	// shown is the identity that was named to the server, which the signature must fit.
	shown atomic.Pointer[identity]
	// conn is set once nats.Connect has returned.
	conn atomic.Pointer[nats.Conn]
}

func newLogin(name, file string, read func(string) (*identity, error), log *slog.Logger) (*login, error) {
	live, err := livefile.Open(livefile.Source[*identity]{
		Name: name, Paths: []string{file}, Log: log,
		Read:       func() (*identity, error) { return read(file) },
		Attributes: func(i *identity) []any { return []any{"user", i.public} },
	})
	if err != nil {
		return nil, fmt.Errorf("bus: %s: %w", name, err)
	}
	l := &login{file: live}
	l.shown.Store(live.Value())
	return l, nil
}

func (l *login) sign(nonce []byte) ([]byte, error) { return l.shown.Load().key.Sign(nonce) }

// options are those of a connection.
func (l *login) options() []nats.Option {
	if l.shown.Load().jwt != "" {
		return []nats.Option{nats.UserJWT(func() (string, error) {
			i := l.file.Value()
			l.shown.Store(i)
			return i.jwt, nil
		}, l.sign)}
	}
	return []nats.Option{nats.Nkey(l.shown.Load().public, l.sign), nats.ReconnectToServer(l.renew)}
}

// renew gives the connection the public key that the file holds now. nats.go has no option for a
// key that changes. It calls this before each attempt to reconnect, while it holds the connection's
// lock, under which it reads the key. No choice of a server leaves the choice to nats.go.
func (l *login) renew([]nats.Server, nats.ServerInfo) (*nats.Server, time.Duration) {
	if nc := l.conn.Load(); nc != nil {
		i := l.file.Value()
		nc.Opts.Nkey = i.public
		l.shown.Store(i)
	}
	return nil, 0
}
