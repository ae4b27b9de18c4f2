package testkit

import (
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"strings"

	"github.com/mailwright/mailwright/pkg/testkit/stack"
)

// Backend is what the parts of a system run on.
type Backend string

// The backends.
const (
	// Containers runs every part as a container. It is the default.
	Containers Backend = "containers"
	// Embedded runs NATS and Postgres on this machine, and the sandbox and the services as
	// processes; see [WithPrograms].
	Embedded Backend = "embedded"
	// Auto is Containers where a Docker engine answers, else Embedded.
	Auto Backend = "auto"
)

// Server is a server that the test brings along.
type Server struct {
	// URL is its address as the test sees it, with user and password where it needs them.
	URL string
	// Inside is its address as containers see it, such as nats://my-nats:4222 on the network of
	// [WithNetwork]. Empty: URL, with a loopback host replaced by host.docker.internal, which
	// reaches servers that listen on all of the host's addresses.
	Inside string
}

// Option is a choice about a [System].
type Option func(*options)

type options struct {
	backend   Backend
	nats      Server
	postgres  Server
	network   string
	noSandbox bool
	services  []string
	programs  string
	images    map[string]string
	env       []string
	logDir    string
	log       *slog.Logger
}

func newOptions(list []Option) options {
	o := options{
		backend: Containers, services: stack.Services, programs: os.Getenv("MAILWRIGHT_BIN"), images: defaultImages(),
		log: slog.New(slog.DiscardHandler),
	}
	for _, option := range list {
		option(&o)
	}
	return o
}

// WithBackend chooses what the system runs on.
func WithBackend(b Backend) Option { return func(o *options) { o.backend = b } }

// WithNATS uses a NATS server with JetStream instead of starting one. The streams are created where
// they are missing.
func WithNATS(s Server) Option { return func(o *options) { o.nats = s } }

// WithPostgres uses a database instead of starting a server. It is brought to the newest schema.
func WithPostgres(s Server) Option { return func(o *options) { o.postgres = s } }

// WithNetwork puts the containers on a Docker network that exists, beside containers of the test's
// own. The names there are [NATS], [Postgres], [Sandbox] and those of the services.
func WithNetwork(name string) Option { return func(o *options) { o.network = name } }

// WithServices runs only these services, such as "mailbox-svc" and "projection-svc".
func WithServices(names ...string) Option { return func(o *options) { o.services = names } }

// WithoutServices runs NATS with the streams, Postgres with the schema and the sandbox: for a test
// that is itself the other side.
func WithoutServices() Option { return WithServices() }

// WithoutSandbox leaves the sandbox out, and with it the services.
func WithoutSandbox() Option {
	return func(o *options) { o.noSandbox, o.services = true, nil }
}

// WithPrograms is the folder of Mailwright's programs for [Embedded], as `make build` or `go
// install github.com/mailwright/mailwright/services/...` fills it. The default is MAILWRIGHT_BIN. A
// system without services and sandbox needs none.
func WithPrograms(dir string) Option { return func(o *options) { o.programs = dir } }

// WithImages replaces images, by part: {"nats": "registry.example.com/nats:2.15"}.
func WithImages(images map[string]string) Option {
	return func(o *options) { maps.Copy(o.images, images) }
}

// WithEnv adds to the services' environment: "MAILWRIGHT_LOG_LEVEL=debug".
func WithEnv(env ...string) Option { return func(o *options) { o.env = append(o.env, env...) } }

// WithLogDir keeps every part's log, dir/<part>.log, when the system stops.
func WithLogDir(dir string) Option { return func(o *options) { o.logDir = dir } }

// WithLog lets a logger hear of starts, ends and what is swept up. The default is silence.
func WithLog(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// The servers' images that a system runs where [WithImages] names no others.
const (
	NATSImage     = "nats:2.15"
	PostgresImage = "postgres:15"
)

// defaultImages are those of the version of this module; for a checkout, those that `make images`
// builds.
func defaultImages() map[string]string {
	images := map[string]string{NATS: NATSImage, Postgres: PostgresImage}
	tag := imageTag(dependencies())
	for _, program := range append([]string{Sandbox}, stack.Services...) {
		images[program] = "mailwright/" + program + ":" + tag
	}
	return images
}

// checkout is the tag that images have where the programs are built from a folder, not from a
// version.
const checkout = "dev"

func dependencies() []*debug.Module {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	return info.Deps
}

// imageTag is the version of this module among those that a program consists of. A tag cannot have
// a plus.
func imageTag(modules []*debug.Module) string {
	for _, m := range modules {
		if m.Path == "github.com/mailwright/mailwright/pkg/testkit" && m.Replace == nil && m.Version != "(devel)" {
			return strings.ReplaceAll(strings.TrimPrefix(m.Version, "v"), "+", "-")
		}
	}
	return checkout
}
