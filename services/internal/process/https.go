package process

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/mailwright/mailwright/services/internal/livefile"
)

// HTTPFlags are the certificate by which a program serves HTTPS. Without one it serves HTTP. Embed
// it with an envprefix.
type HTTPFlags struct {
	HTTPCert string `name:"http-cert" help:"File with the certificate of the HTTP endpoints; they are HTTPS then." env:"HTTP_CERT" placeholder:"FILE"`
	HTTPKey  string `name:"http-key" help:"File with the key of --http-cert." env:"HTTP_KEY" placeholder:"FILE"`
}

// certificate opens the files; nil without any.
func (f HTTPFlags) certificate(log *slog.Logger) (*livefile.File[*tls.Certificate], error) {
	if (f.HTTPCert == "") != (f.HTTPKey == "") {
		return nil, errors.New("--http-cert and --http-key belong together; give both")
	}
	if f.HTTPCert == "" {
		return nil, nil
	}
	file, err := livefile.Certificate("--http-cert", f.HTTPCert, f.HTTPKey, log)
	if err != nil {
		return nil, fmt.Errorf("--http-cert: %w", err)
	}
	return file, nil
}

// Listen listens for HTTPS if the flags name a certificate, else for HTTP. A program that listens
// beyond loopback without a certificate logs a warning. url is the base of what is served, such as
// https://127.0.0.1:40123.
func (f HTTPFlags) Listen(address string, log *slog.Logger) (l net.Listener, url string, err error) {
	certificate, err := f.certificate(log)
	if err != nil {
		return nil, "", err
	}
	if l, err = net.Listen("tcp", address); err != nil {
		return nil, "", err
	}
	if certificate != nil {
		return tls.NewListener(l, serverConfig(certificate)), "https://" + l.Addr().String(), nil
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		log.Warn("HTTP is served beyond loopback without TLS; give --http-cert and --http-key, or let only probes and metrics reach it", "address", l.Addr().String())
	}
	return l, "http://" + l.Addr().String(), nil
}

// serverConfig allows HTTP/1.1 alone, which is what [http.Server.Serve] speaks.
func serverConfig(certificate *livefile.File[*tls.Certificate]) *tls.Config {
	config := livefile.ServerConfig(certificate)
	config.NextProtos = []string{"http/1.1"}
	return config
}
