package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/mailwright/mailwright/services/internal/livefile"
)

// Healthcheck asks the program that listens on addr of this machine whether it is ready: GET
// /readyz. It is a container's health check where the image has neither shell nor curl. The error
// says what readiness waits for. Of HTTPS it takes no certificate but the program's own.
func Healthcheck(ctx context.Context, addr string, flags HTTPFlags) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if port == "0" {
		return errors.New("the program listens on a port that only it knows: give its address a port")
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*checkTimeout)
	defer cancel()
	client, scheme := http.DefaultClient, "http"
	certificate, err := flags.certificate(slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if certificate != nil {
		client, scheme = &http.Client{Transport: &http.Transport{TLSClientConfig: livefile.OnlyItself(certificate)}}, "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return fmt.Errorf("not ready: %s", bytes.TrimSpace(body))
	}
	return nil
}
