package embedded

import (
	"net"
	"sync"
)

// Proxy passes TCP connections on to a server, until it is cut. Then no data gets through,
// and neither end gets an error, as in a network partition. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	open  chan struct{} // closed while it is not cut
	conns []net.Conn
}

// StartProxy listens on a free port of this machine; target is host:port.
func StartProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, open: make(chan struct{})}
	close(p.open)
	go p.accept()
	return p, nil
}

// Addr is where it listens: host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut holds up everything, that of new connections too.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
		p.open = make(chan struct{})
	default: // it is
	}
}

// Heal lets everything through again, also what was held up.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// Close ends every connection.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Heal()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) gate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // it is closed
		}
		go p.pass(client)
	}
}

func (p *Proxy) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	<-p.gate()
	server, err := net.Dial("tcp", p.target) //nolint:noctx // as long as the client's
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() { p.pump(way[0], way[1]); done <- struct{}{} }()
	}
	<-done
}

func (p *Proxy) pump(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		<-p.gate()
		if _, failed := to.Write(buffer[:n]); err != nil || failed != nil {
			return
		}
	}
}
