// floor is the least that the work of the services costs: three programs that a careful hand would
// write against JetStream, the vendors and Postgres, and that promise nothing. A command may be
// carried out twice or out of order, a failed one ends the program, and what is wrong with a
// command is not looked at. Benchmarks hold the services against them.
//
//	floor commands --domain delegation --vendor http://127.0.0.1:8080
//	floor rows
//	floor inventory --vendor http://127.0.0.1:8080
//
// NATS_URL and DATABASE_URL say where the servers are.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/services/internal/process"
)

func main() {
	process.TuneMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	asked := ctx.Err() != nil
	stop()
	if err != nil && !asked {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("floor", flag.ExitOnError)
	domain := flags.String("domain", "delegation", "Domain of the commands: delegation (delegation.set) or mailbox (mailbox.create).")
	vendor := flags.String("vendor", "", "URL of the vendor; of an inventory, of the sandbox.")
	workers := flags.Int("workers", 24, "Commands that are carried out at a time.")
	if len(args) == 0 {
		return errors.New("name what to do: commands, rows or inventory")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if args[0] == "inventory" {
		return takeInventory(ctx, *vendor, os.Getenv("DATABASE_URL"))
	}
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	switch args[0] {
	case "commands":
		return carryOut(ctx, js, newCaller(*vendor, *domain, *workers), *workers)
	case "rows":
		return keepRows(ctx, js, os.Getenv("DATABASE_URL"))
	default:
		return fmt.Errorf("%s is none of commands, rows and inventory", args[0])
	}
}
