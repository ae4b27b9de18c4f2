// vendor answers the calls that delegation.set and mailbox.create make: Exchange Online's Admin API
// with its token endpoint, and the REST API of Adaxes.
//
// It is a load target for benchmarks and no sandbox. It keeps no state, checks no credentials, and
// answers every call with success after a fixed latency, so that it costs less CPU time than the
// services under test. The sandbox, which is stateful and strict, costs more than they do.
package main

import (
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/mailwright/mailwright/services/internal/process"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "Address of the APIs.")
	latency := flag.Duration("latency", 0, "How long each call takes; a token comes at once.")
	flag.Parse()
	process.TuneMemory()
	server := &http.Server{Addr: *listen, Handler: newVendor(*latency), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
