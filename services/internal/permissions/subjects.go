package permissions

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
	"github.com/mailwright/mailwright/services/internal/bus"
)

// allStreams names the streams.
func allStreams() []string {
	var names []string
	for _, s := range topology.Streams(topology.Config{}) {
		names = append(names, s.Name)
	}
	return names
}

// projected names the streams that are followed for the projections.
func projected() []string {
	return []string{topology.StreamCommands, topology.StreamEvents, topology.StreamMailboxes, topology.StreamDead, topology.StreamAudit}
}

// consumer is a durable consumer of a worker.
type consumer struct {
	stream, name, filter string
	owned                bool // it has a pinned client
}

// consumers are those of a domain: those of two generations of partitions, which take turns, and
// the others.
func (o Options) consumers(d event.Domain) []consumer {
	all := bus.OtherConsumers(d)
	for generation := range 2 {
		all = append(all, bus.CommandConsumers(d, topology.Generation{Number: generation, Partitions: o.Partitions})...)
	}
	var list []consumer
	for _, c := range all {
		list = append(list, consumer{c.Stream, c.Config.Durable, c.Config.FilterSubject, c.Config.PriorityPolicy == jetstream.PriorityPolicyPinned})
	}
	return list
}

// durables match the requests that change a worker's consumer or take its messages, of streams that
// others follow.
func (o Options) durables() []string {
	var list []string
	for _, d := range event.Domains() {
		for _, c := range o.consumers(d) {
			if !slices.Contains(projected(), c.stream) {
				continue
			}
			list = append(list, o.consumerAPI(c, "CREATE"), o.consumerAPI(c, "CREATE")+".>", o.consumerAPI(c, "MSG.NEXT"), o.consumerAPI(c, "DELETE"))
		}
	}
	return list
}

// erased names the streams out of which an erasure takes single messages.
func erased() []string {
	return []string{topology.StreamCommands, topology.StreamMailboxes, topology.StreamDrift, topology.StreamDead, topology.StreamParked}
}

// api is the subject of a request to JetStream. Where there is a domain, [Options.inDomain] adds
// the domain's.
func (o Options) api(request string) string {
	return topology.APIPrefix(jetstream.JetStreamOptions{APIPrefix: o.JetStream.APIPrefix}) + request
}

// inDomain adds the subjects of requests to the domain's JetStream. A server of the domain maps
// them to its own before it checks what a user may publish; a server that has the domain behind a
// leaf node does not.
func (o Options) inDomain(list []Rule) []Rule {
	if o.JetStream.Domain == "" {
		return list
	}
	prefix := topology.APIPrefix(jetstream.JetStreamOptions{Domain: o.JetStream.Domain})
	var both []Rule
	for _, r := range list {
		both = append(both, r)
		if request, isRequest := strings.CutPrefix(r.Subject, jetstream.DefaultAPIPrefix); isRequest {
			both = append(both, Rule{prefix + request, r.Why})
		}
	}
	return both
}

// consumerAPI is the subject of a request about a consumer.
func (o Options) consumerAPI(c consumer, request string) string {
	return o.api("CONSUMER." + request + "." + c.stream + "." + c.name)
}

// acknowledge matches where the deliveries of a consumer are acknowledged. Up to 2.13 the tokens
// behind the consumer are five numbers: deliveries, two sequences, the time and what is pending.
// From 2.14 on a server may put its domain and the account's hash before the stream, and further
// tokens at the end.
func (o Options) acknowledge(c consumer) []string {
	const prefix, numbers = "$JS.ACK.", ".*.*.*.*.*"
	place := c.stream + "." + c.name
	list := []string{prefix + place + numbers}
	if !o.OldAcknowledgements {
		list = append(list, prefix+"*.*."+place+".*.*.*.*.>")
	}
	return list
}

func (o Options) streamInfo(streams ...string) []string {
	var list []string
	for _, s := range streams {
		list = append(list, o.api("STREAM.INFO."+s))
	}
	return list
}

// readMessage are the requests for a message by what the request holds. Where one server holds the
// stream the first is used, else the second.
func (o Options) readMessage(stream string) []string {
	return []string{o.api("DIRECT.GET." + stream), o.api("STREAM.MSG.GET." + stream)}
}

// readLast is the request for the last message of a subject, which is part of the request's.
func (o Options) readLast(stream, subject string) string {
	return o.api("DIRECT.GET." + stream + "." + subject)
}

// follow are the requests by which any part of a stream is followed.
func (o Options) follow(stream string) []string {
	return append([]string{o.api("CONSUMER.CREATE." + stream + ".*"), o.api("CONSUMER.CREATE." + stream + ".*.>")}, o.pull(stream)...)
}

// ordered are the requests by which the subjects that match a filter are followed, with a consumer
// whose only filter is this one or a narrower one. It has a random name, which nobody else can ask
// for messages.
func (o Options) ordered(stream, filter string) []string {
	return append([]string{o.api("CONSUMER.CREATE." + stream + ".*." + filter)}, append(o.pull(stream), o.api("CONSUMER.DELETE."+stream+".*"))...)
}

func (o Options) pull(stream string) []string {
	return []string{o.api("CONSUMER.INFO." + stream + ".*"), o.api("CONSUMER.MSG.NEXT." + stream + ".*")}
}
