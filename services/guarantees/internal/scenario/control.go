package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// control calls the sandbox's control API with a body in JSON.
func (s *Scenario) control(ctx context.Context, method, path string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = s.controlRaw(ctx, method, path, raw)
	return err
}

func (s *Scenario) controlRaw(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.stack.Endpoints.Sandbox+"/control/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= http.StatusMultipleChoices {
		err = errors.New(res.Status + ": " + string(answer))
	}
	return answer, err
}

// controlJSON reads an answer of the control API in JSON.
func (s *Scenario) controlJSON(ctx context.Context, path string, into any) error {
	raw, err := s.controlRaw(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// collectTraces starts a stand-in for an OpenTelemetry collector. It writes the traces among the
// logs, which are searched for secrets.
func (s *Scenario) collectTraces() (*listener, error) {
	if err := os.MkdirAll(filepath.Join(s.dir, "logs"), 0o755); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(s.dir, "logs", "traces.log"))
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	l, err := serve(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // an incomplete body is searched, too
		mu.Lock()
		defer mu.Unlock()
		_, _ = file.Write(append(body, '\n'))
	})
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &listener{url: l.url, stop: func() { l.stop(); _ = file.Close() }}, nil
}

// listener is an HTTP server of the scenario.
type listener struct {
	url  string
	stop func()
}

func serve(h http.HandlerFunc) (*listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(l) }()
	return &listener{url: "http://" + l.Addr().String(), stop: func() { _ = s.Close() }}, nil
}
