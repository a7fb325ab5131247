// Package wire stands between the daemon and one of Asterisk's interfaces, and
// can be a bad line: it stalls, is cut, or carries a flood of events.
//
// It must not import anything of ours.
package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy passes on connections. Its methods may be called from any goroutine.
type Proxy struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	cut     bool
	stalled chan struct{} // closed when the stall ends; nil without one
	conns   map[net.Conn]bool
	streams map[*stream]bool // open websockets
}

// stream is the way of a websocket's messages to the daemon.
type stream struct {
	mu sync.Mutex // held for a whole message
	to net.Conn
}

// New listens on loopback until Close.
func New(target string) (*Proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen before %s: %w", target, err)
	}
	p := &Proxy{target: target, listener: l, conns: make(map[net.Conn]bool), streams: make(map[*stream]bool)}
	p.wg.Go(p.serve)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends all.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Cut()
	p.Stall(false)
	p.wg.Wait()
}

func (p *Proxy) serve() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.connect(near) })
	}
}

// connect carries a connection. Asterisk may be away: then it is refused.
func (p *Proxy) connect(near net.Conn) {
	defer near.Close()
	far, err := (&net.Dialer{Timeout: 2 * time.Second}).Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer far.Close()
	p.mu.Lock()
	cut := p.cut
	if !cut {
		p.conns[near], p.conns[far] = true, true
	}
	p.mu.Unlock()
	if cut {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _ = p.copy(far, near); _ = far.Close() })
	both.Go(func() { _ = p.answers(near, far); _ = near.Close() })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, near)
	delete(p.conns, far)
	p.mu.Unlock()
}

// flow waits while the line is stalled.
func (p *Proxy) flow() {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

// copy passes on what comes, as it comes.
func (p *Proxy) copy(to io.Writer, from io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.flow()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// answers passes on what Asterisk says. If it becomes a websocket it goes
// message by message, so that others fit in between.
func (p *Proxy) answers(to, from net.Conn) error {
	r := bufio.NewReaderSize(from, 64<<10)
	for {
		if _, err := r.Peek(1); err != nil {
			return err
		}
		// A response begins with what was just read: nobody asks for the next one before.
		got, err := r.Peek(r.Buffered())
		if err != nil {
			return err
		}
		if bytes.HasPrefix(got, []byte(switching)) {
			break
		}
		p.flow()
		if _, err := to.Write(got); err != nil {
			return err
		}
		if _, err := r.Discard(len(got)); err != nil {
			return err
		}
	}
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return err
		}
		p.flow()
		if _, err := to.Write(line); err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	s := &stream{to: to}
	p.mu.Lock()
	p.streams[s] = true
	p.mu.Unlock()
	defer func() { p.mu.Lock(); delete(p.streams, s); p.mu.Unlock() }()
	return p.messages(s, r)
}

const switching = "HTTP/1.1 101"

// messages passes on frames of a websocket (RFC 6455 5.2): those of a server
// are not masked.
func (p *Proxy) messages(s *stream, r *bufio.Reader) error {
	for {
		first, err := r.ReadByte()
		if err != nil {
			return err
		}
		p.flow()
		if err := s.frame(first, r); err != nil {
			return err
		}
	}
}

// frame passes on one frame, with those that continue it.
func (s *stream) frame(first byte, r *bufio.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		head := []byte{first}
		second, err := r.ReadByte()
		if err != nil {
			return err
		}
		head = append(head, second)
		size := int64(second & 0x7f)
		if extra := map[int64]int{126: 2, 127: 8}[size]; extra > 0 {
			more := make([]byte, extra)
			if _, err := io.ReadFull(r, more); err != nil {
				return err
			}
			head = append(head, more...)
			size = int64(binary.BigEndian.Uint64(append(make([]byte, 8-extra), more...)))
		}
		if _, err := s.to.Write(head); err != nil {
			return err
		}
		if _, err := io.CopyN(s.to, r, size); err != nil {
			return err
		}
		if first&0x80 != 0 || first&0x0f >= 8 { // the last of its message, or one of control
			return nil
		}
		if first, err = r.ReadByte(); err != nil {
			return err
		}
	}
}

// Stall lets nothing through while it is on, without ending a connection.
func (p *Proxy) Stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.stalled == nil:
		p.stalled = make(chan struct{})
	case !on && p.stalled != nil:
		close(p.stalled)
		p.stalled = nil
	}
}

// Cut ends all connections and takes no more until Restore.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// Restore lets new connections through again.
func (p *Proxy) Restore() { p.mu.Lock(); p.cut = false; p.mu.Unlock() }

// ErrNoStream says that no websocket is open.
var ErrNoStream = errors.New("no websocket is open")

// Flood sends a text n times to whoever follows a websocket, between
// Asterisk's own messages, that many a second, or as fast as it is read if rate
// is 0. It returns how many were sent when ctx ended or the connection did.
func (p *Proxy) Flood(ctx context.Context, text []byte, n, rate int) (sent int, err error) {
	p.mu.Lock()
	var to *stream
	for s := range p.streams {
		to = s
	}
	p.mu.Unlock()
	if to == nil {
		return 0, ErrNoStream
	}
	message := textMessage(text)
	const batch = 50
	begun := time.Now()
	pace := time.NewTimer(0)
	defer pace.Stop()
	for sent < n && ctx.Err() == nil {
		if rate > 0 {
			pace.Reset(time.Until(begun.Add(time.Duration(sent) * time.Second / time.Duration(rate))))
			select {
			case <-pace.C:
			case <-ctx.Done():
			}
		}
		count := min(batch, n-sent)
		to.mu.Lock()
		_, err := to.to.Write(bytes.Repeat(message, count))
		to.mu.Unlock()
		if err != nil {
			return sent, fmt.Errorf("flood after %d events: %w", sent, err)
		}
		sent += count
	}
	return sent, ctx.Err()
}

// textMessage is a websocket's frame with that text.
func textMessage(text []byte) []byte {
	head := []byte{0x81}
	switch n := len(text); {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	return append(head, text...)
}
