package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mailwright/mailwright/pkg/topology"
)

// CountSubjects is how many subjects of a stream that match a filter have messages. nats.go's
// Stream.Info would get all their names, 100,000 a request. Asked for the names behind the last,
// the server sends the number alone (nats-server 2.15, jsStreamInfoRequest).
func CountSubjects(ctx context.Context, js jetstream.JetStream, stream, filter string) (int, error) {
	request, err := json.Marshal(map[string]any{"subjects_filter": filter, "offset": math.MaxInt32})
	if err != nil {
		return 0, err
	}
	m, err := js.Conn().RequestWithContext(ctx, topology.APIPrefix(js.Options())+"STREAM.INFO."+stream, request)
	if err != nil {
		return 0, fmt.Errorf("bus: subjects of stream %s: %w", stream, err)
	}
	var reply struct {
		Total int                 `json:"total"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil {
		return 0, fmt.Errorf("bus: subjects of stream %s: %w", stream, err)
	}
	if reply.Error != nil {
		return 0, fmt.Errorf("bus: subjects of stream %s: %w", stream, reply.Error)
	}
	return reply.Total, nil
}
