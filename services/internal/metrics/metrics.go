// Package metrics has every series that Mailwright's programs serve on /metrics beside those of the
// Go runtime. Names and units follow Prometheus' conventions
// (https://prometheus.io/docs/practices/naming/).
//
// A series counts in the process that serves it, so that a sum over all replicas is that of the
// system. Labels have few values: names of tenants are those of the configuration, and types are
// those of the contract. What a publisher sends never becomes a label, since each value would be
// a series that stays for ever.
package metrics

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/mailwright/mailwright/pkg/event"
)

// Other is the value of a label for what has no value of its own: a tenant that is not configured,
// a type that the contract does not have.
const Other = "other"

// The life of operations. Counted where the event is stored in JetStream, so a command that is
// delivered twice counts once.
var (
	CommandsReceived = counter("commands_received_total",
		"Commands that were seen for the first time.", "domain", "tenant", "type")
	Outcomes = counter("outcomes_total",
		"Outcomes that were published, by the state that they give the operation.", "domain", "tenant", "type", "state")
	OutcomeSeconds = histogram("outcome_duration_seconds",
		"From the time at which COMMANDS stored a command to its outcome, scheduled and blocked ones included.",
		[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400}, "domain", "type")
	Attempts = counter("attempts_total",
		"Attempts at a command that have ended, by the kind of their failure; kind is ok after a success.", "vendor", "type", "kind")
	DeadLetters = counter("dead_letters_total",
		"Dead letters that were published.", "domain", "tenant", "reason")
	Redeliveries = counter("redeliveries_total",
		"Messages of a partition that were delivered again, after a nack or a missing acknowledgement.", "stream", "partition")
)

// Calls of vendors.
var (
	VendorRequestSeconds = histogram("vendor_request_duration_seconds",
		"Requests to a vendor, by call and by what came back: the status, or why nothing did.",
		[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "vendor", "call", "result")
	VendorCircuitsOpen = gauge("vendor_circuits_open",
		"Clients of a vendor whose circuit breaker is open: nothing is sent for a while.", "vendor")
	VendorCredentialsRefused = gauge("vendor_credentials_refused",
		"Clients whose credentials the vendor has refused; one call tries again now and then.", "vendor")
	CallsInFlight = gauge("calls_in_flight",
		"Calls of a tenant at a vendor that are under way.", "vendor", "tenant")
	CallsLimit = gauge("calls_limit",
		"How many calls may be under way in this process: of each tenant at a vendor, and of all at a vendor. 0: any number.", "scope")
	DetachedCalls = gauge("detached_calls",
		"Slow calls that go on after their message was acknowledged.", "domain")
)

// Partitions and what waits. The gauges that cost a request are measured when /metrics is read.
var (
	LeaseHeld = gauge("partition_lease_held",
		"1 while this process holds the partition's lease, which NATS grants with the first message: over all replicas a partition has one at most.", "stream", "partition")
	LeasesAcquired = counter("partition_leases_acquired_total",
		"Leases of partitions that this process got.", "stream", "partition")
	LeasesLost = counter("partition_leases_lost_total",
		"Leases that ended without this process giving them away.", "stream", "partition")
	PartitionPending = gauge("partition_pending_messages",
		"Messages of a partition that are not delivered yet; every replica measures the same.", "stream", "partition")
	PartitionInFlight = gauge("partition_in_flight_messages",
		"Messages of a partition that are delivered and not acknowledged; every replica measures the same.", "stream", "partition")
	ParkedKeys = gauge("parked_keys",
		"Keys on which commands wait, and overflows.", "domain")
	ParkedOldestSeconds = gauge("parked_oldest_seconds",
		"Age of the oldest command that waits on a key or in an overflow; 0: none waits.", "domain")
	RecheckLagSeconds = gauge("recheck_lag_seconds",
		"How much later than --recheck-after the last command was checked once more; 0: none is due.", "domain")
)

// Projections. Only the replica that leads a projection serves them.
var (
	ProjectionLagMessages = gauge("projection_lag_messages",
		"Messages of the stream that are not in the rows yet.", "projection")
	ProjectionLagSeconds = gauge("projection_lag_seconds",
		"Age of the oldest message that is not in the rows yet; 0: none.", "projection")
	ProjectionBatchSize = histogram("projection_batch_size",
		"Messages that were committed together.", []float64{1, 3, 10, 30, 100, 300, 1000, 3000, 5000}, "stream")
	ProjectionHalted = gauge("projection_halted",
		"1 while the projections of a stream stand and need help; the log and /readyz say why.", "stream")
	ProjectionErrors = counter("projection_errors_total",
		"Messages that can never become rows; table projection_errors has each.", "projection")
)

// Connections.
var (
	NATSConnected = gauge("nats_connected",
		"1 while the program is connected to NATS.")
	NATSReconnects = counter("nats_reconnects_total",
		"How often the connection to NATS was made again.")
	NATSDenials = counter("nats_permission_denials_total",
		"Subjects that NATS denied the program; the log and /readyz name them.")
	PostgresConnections = gauge("postgres_connections",
		"Connections of the program to Postgres: idle, in_use, or the limit max.", "state")
)

const namespace = "mailwright"

// Series describes one of the series of this package.
type Series struct {
	Name, Type, Help string
	Labels           []string
}

// All are the series of this package, in the order of its source.
var All []Series

func describe(kind, name, help string, labels []string) {
	All = append(All, Series{Name: namespace + "_" + name, Type: kind, Help: help, Labels: labels})
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	describe("counter", name, help, labels)
	return promauto.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	describe("gauge", name, help, labels)
	return promauto.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	describe("histogram", name, help, labels)
	return promauto.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

var tenants atomic.Pointer[[]string]

// SetTenants names the tenants of the configuration, which have series of their own.
func SetTenants(names []string) {
	names = slices.Sorted(slices.Values(names))
	tenants.Store(&names)
}

// Tenant is the value of the label for a tenant's name, which may come from outside.
func Tenant(name string) string {
	if known := tenants.Load(); known != nil {
		if _, ok := slices.BinarySearch(*known, name); ok {
			return name
		}
	}
	return Other
}

// Type is the value of the label for a type of command, which may come from outside.
func Type(name string) string {
	if commandTypes()[name] {
		return name
	}
	return Other
}

var commandTypes = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	for _, t := range event.CommandTypes() {
		known[t] = true
	}
	return known
})

// Bool is the value of a gauge that is 1 or 0.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
