// plain is a publisher as somebody without Mailwright's packages would write it, by
// docs/contract.md: nats.go, and pgx to read the row. It publishes one command in each content mode
// by hand, waits for each outcome on the subject that it computed itself, and reads the operations'
// rows.
//
//	go run ./e2e/plain -nats nats://127.0.0.1:4222 -postgres postgres://…
package main

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	tenant = "contoso"
	source = "https://hr.example.com/plain"
	key    = "alex%40contoso%2Ecom" // the recommended one of alex@contoso.com
)

func main() {
	natsURL := flag.String("nats", nats.DefaultURL, "NATS server")
	postgresURL := flag.String("postgres", "", "Postgres with the projections; empty: rows are not read")
	run := flag.String("run", time.Now().UTC().Format("20060102T150405.000"), "makes the commands' ids new")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := publish(ctx, *natsURL, *postgresURL, *run); err != nil {
		log.Fatal(err) //nolint:gocritic // the context ends with the program
	}
}

func publish(ctx context.Context, natsURL, postgresURL, run string) error {
	nc, err := nats.Connect(natsURL)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}

	// Binary mode: attributes are headers, the body is the data.
	binary := nats.NewMsg("mailwright.cmd." + tenant + ".delegation." + key)
	binary.Header.Set("ce-specversion", "1.0")
	binary.Header.Set("ce-id", run+"-binary")
	binary.Header.Set("ce-source", source)
	binary.Header.Set("ce-type", "io.mailwright.delegation.change.v1")
	binary.Header.Set("content-type", "application/json")
	binary.Data = []byte(`{"mailbox": "alex@contoso.com", "add": ["delegate3@contoso.com"]}`)

	// Structured mode: the body is the whole event.
	structured := nats.NewMsg("mailwright.cmd." + tenant + ".delegation." + key)
	structured.Header.Set("content-type", "application/cloudevents+json")
	structured.Data = []byte(`{"specversion": "1.0", "id": "` + run + `-structured", "source": "` + source + `",
		"type": "io.mailwright.delegation.read.v1", "data": {"mailbox": "alex@contoso.com"}}`)

	for id, msg := range map[string]*nats.Msg{run + "-binary": binary, run + "-structured": structured} {
		if _, err := js.PublishMsg(ctx, msg); err != nil {
			return fmt.Errorf("publish %s: %w", id, err)
		}
		outcome, err := await(ctx, js, "delegation", id)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s\n", id, outcome)
		if postgresURL == "" {
			continue
		}
		state, err := row(ctx, postgresURL, operationID(id))
		if err != nil {
			return err
		}
		fmt.Printf("%s: row in mailwright.operations: %s\n", id, state)
	}
	return nil
}

// operationID: the first 26 characters of lower-case base32 of SHA-256(tenant + "\n" + source +
// "\n" + id).
func operationID(id string) string {
	sum := sha256.Sum256([]byte(tenant + "\n" + source + "\n" + id))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:26]
}

// await reads the operation's subject until an outcome stands there.
func await(ctx context.Context, js jetstream.JetStream, domain, id string) (string, error) {
	subject := "mailwright.evt." + tenant + "." + domain + "." + operationID(id)
	consumer, err := js.OrderedConsumer(ctx, "EVENTS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		return "", err
	}
	for {
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			return "", fmt.Errorf("no outcome of %s on %s: %w", id, subject, err)
		}
		eventType := msg.Headers().Get("ce-type")
		if isOnTheWay(eventType) {
			continue
		}
		var data json.RawMessage = msg.Data()
		return eventType + " " + string(data), nil
	}
}

// isOnTheWay tells the events after which others follow.
func isOnTheWay(eventType string) bool {
	for _, state := range []string{"started", "waiting", "unknown", "progress"} {
		if strings.HasSuffix(eventType, "."+state+".v1") {
			return true
		}
	}
	return false
}

// row waits until the projection has the operation's outcome.
func row(ctx context.Context, url, operationID string) (state string, err error) {
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close(ctx) }()
	for {
		err := db.QueryRow(ctx, `SELECT state FROM mailwright.operations WHERE operation_id = $1 AND finished_at IS NOT NULL`, operationID).Scan(&state)
		if err == nil {
			return state, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no row of operation %s: %w", operationID, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
