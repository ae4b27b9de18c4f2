package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/mailwright/mailwright/pkg/event"
	"github.com/mailwright/mailwright/pkg/topology"
)

// ackPending bounds the commands that are delivered and not acknowledged.
const ackPending = 2000

// carryOut carries commands out until ctx ends: pull, call the vendor twice, publish the result,
// acknowledge.
func carryOut(ctx context.Context, js jetstream.JetStream, vendor *caller, workers int) error {
	consumer, err := js.CreateOrUpdateConsumer(ctx, topology.StreamCommands, jetstream.ConsumerConfig{
		Durable: "floor", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: ackPending,
		FilterSubject: "mailwright.cmd.*." + vendor.domain + ".>",
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan jetstream.Msg)
	for range workers {
		group.Go(func() error {
			for m := range work {
				if err := carryOutOne(ctx, js, vendor, m); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(work)
		for {
			m, err := messages.Next(jetstream.NextContext(ctx))
			if err != nil {
				return err
			}
			select {
			case work <- m:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return group.Wait()
}

func carryOutOne(ctx context.Context, js jetstream.JetStream, vendor *caller, m jetstream.Msg) error {
	operation, err := operationOf(m)
	if err != nil {
		return err
	}
	resultType, data, err := vendor.call(ctx, m.Data(), operation)
	if err != nil {
		return err
	}
	result, err := resultMessage(m, vendor.domain, resultType, data)
	if err != nil {
		return err
	}
	if _, err := js.PublishMsg(ctx, result); err != nil {
		return err
	}
	return m.Ack()
}

// Positions in mailwright.cmd.<tenant>.<domain>.<partition>.<key>.
const (
	tenantToken = 2
	keyToken    = 5
)

func token(subject string, i int) string { return strings.Split(subject, ".")[i] }

func operationOf(m jetstream.Msg) (event.OperationData, error) {
	stored, err := m.Metadata()
	if err != nil {
		return event.OperationData{}, err
	}
	fingerprint := sha256.Sum256(m.Data())
	return event.OperationData{
		CommandType: m.Headers().Get("ce-type"), Key: token(m.Subject(), keyToken), ReceivedAt: stored.Timestamp.UTC(),
		Attempt: 1, Fingerprint: hex.EncodeToString(fingerprint[:]),
	}, nil
}

// resultMessage is the event that a service publishes: the same attributes in the same mode.
func resultMessage(m jetstream.Msg, domain, resultType string, data any) (*nats.Msg, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	tenant, id, source := token(m.Subject(), tenantToken), m.Headers().Get("ce-id"), m.Headers().Get("ce-source")
	operation := event.OperationID(tenant, source, id)
	header := nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {operation + ".0"}, "ce-source": {"https://mailwright.io/floor"}, "ce-type": {resultType},
		"ce-time": {time.Now().UTC().Format(time.RFC3339Nano)}, "ce-dataschema": {"https://mailwright.io/schemas/" + resultType + ".json"},
		"ce-datacontenttype": {"application/json"}, "content-type": {"application/json"},
		"ce-tenantid": {tenant}, "ce-causationid": {id}, "ce-commandid": {id}, "ce-commandsource": {source}, "ce-operationid": {operation},
		"ce-state": {"succeeded"},
	}
	return &nats.Msg{Subject: topology.EventSubject(tenant, event.Domain(domain), operation), Header: header, Data: body}, nil
}
