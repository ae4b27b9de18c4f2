package topology

import (
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// APIPrefix precedes the subjects of requests to JetStream's API, with the dot at its end: that of
// this account's JetStream, of another domain's, or the prefix under which an account imports it.
func APIPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	default:
		return jetstream.DefaultAPIPrefix
	}
}
