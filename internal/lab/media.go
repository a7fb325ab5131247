package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	frameTime    = 20 * time.Millisecond
	frameSamples = 160 // at 8 kHz
	eventPT      = 101 // our payload type for telephone-event
	digitFrames  = 5   // a digit lasts 100 ms
	gapFrames    = 3   // 60 ms between digits
	// jitterSamples is how late a packet may be without a hole in what is heard.
	jitterSamples = 60 * phoneRate / 1000
	endPackets    = 3 // the end of a digit is said three times, RFC 4733 2.5.1.4
	digitKeys     = "0123456789*#ABCD"
)

// mode is what a phone sends.
type mode int

const (
	sendSilence mode = iota
	sendTone
	sendNothing
)

// event is one packet of a digit; the zero value is a frame of audio between
// digits.
type event struct {
	key      int // index in digitKeys, -1 for audio
	first    bool
	end      bool
	duration uint16        // so far, in samples
	sent     chan struct{} // closed after this one
}

// media is the audio of one call: a socket, a sender that keeps the pace and a
// receiver that keeps what it hears.
type media struct {
	conn *net.UDPConn
	done chan struct{} // closed by stop
	once sync.Once

	mu        sync.Mutex
	remote    *net.UDPAddr
	eventType uint8
	mode      mode
	held      bool
	hz        float64
	tone      oscillator
	events    []event
	heard     []int16 // since begin, at 8 kHz
	begin     time.Time
	ticks     int
	digits    []byte
	lastDigit uint32 // timestamp of the last digit received
	anyDigit  bool

	// Of the sender only.
	ssrc, stamp, eventStamp uint32
	seq                     uint16
}

// newMedia opens the audio of a call. Its RTP begins with that sequence number.
func newMedia(ip string, seq uint16) (*media, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		return nil, fmt.Errorf("open RTP socket on %s: %w", ip, err)
	}
	m := &media{
		conn: conn, done: make(chan struct{}), eventType: eventPT,
		begin: time.Now(), ssrc: rand.Uint32(), stamp: rand.Uint32(), seq: seq,
	}
	go m.send()
	go m.receive()
	return m, nil
}

func (m *media) port() int { return m.conn.LocalAddr().(*net.UDPAddr).Port }

func (m *media) stop() {
	m.once.Do(func() {
		close(m.done)
		_ = m.conn.Close() // nothing is written to it any more
	})
}

// use takes over what the other side says about itself.
func (m *media) use(s session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remote = s.addr
	if s.eventType != 0 {
		m.eventType = s.eventType
	}
}

func (m *media) set(md mode, hz float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mode, m.hz = md, hz
}

func (m *media) continueAt(sequence uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq = sequence
}

func (m *media) hold(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = on
}

// send keeps the pace by the clock, not by ticks: a late tick on a busy
// machine is made up for, so that no audio is missing in a recording.
func (m *media) send() {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	start, frames := time.Now(), 0
	for {
		select {
		case <-m.done:
			return
		case <-tick.C:
		}
		for due := int(time.Since(start) / frameTime); frames < due; frames++ {
			packets, to, sent := m.frame()
			for _, p := range packets {
				_, _ = m.conn.WriteToUDP(p, to) // as lossy as any network
			}
			if sent != nil {
				close(sent)
			}
		}
	}
}

// frame returns the packets of the next 20 ms, and what to close when they
// are sent.
func (m *media) frame() (packets [][]byte, to *net.UDPAddr, sent chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stamp := m.stamp
	m.ticks++
	m.stamp += frameSamples
	if m.remote == nil {
		return nil, nil, nil
	}
	if len(m.events) > 0 {
		e := m.events[0]
		m.events = m.events[1:]
		if e.key >= 0 {
			return m.eventPackets(e, stamp), m.remote, e.sent
		}
	}
	if m.mode == sendNothing || m.held {
		return nil, nil, nil
	}
	p := m.packet(0, false, stamp)
	for range frameSamples {
		var s int16
		if m.mode == sendTone {
			s = m.tone.next(m.hz)
		}
		p = append(p, encodeUlaw(s))
	}
	return [][]byte{p}, m.remote, nil
}

func (m *media) eventPackets(e event, stamp uint32) [][]byte {
	if e.first {
		m.eventStamp = stamp
	}
	count, flags := 1, byte(10) // volume −10 dBm0
	if e.end {
		count, flags = endPackets, flags|0x80
	}
	var out [][]byte
	for range count {
		p := append(m.packet(m.eventType, e.first, m.eventStamp), byte(e.key), flags)
		out = append(out, binary.BigEndian.AppendUint16(p, e.duration))
	}
	return out
}

// packet returns an RTP header.
func (m *media) packet(pt uint8, marker bool, stamp uint32) []byte {
	if marker {
		pt |= 0x80
	}
	p := append(make([]byte, 0, 12+frameSamples), 0x80, pt)
	p = binary.BigEndian.AppendUint16(p, m.seq)
	m.seq++
	p = binary.BigEndian.AppendUint32(p, stamp)
	return binary.BigEndian.AppendUint32(p, m.ssrc)
}

// sendDigits returns when the last digit was sent.
func (m *media) sendDigits(ctx context.Context, digits string) error {
	var events []event
	for _, d := range strings.ToUpper(digits) {
		key := strings.IndexRune(digitKeys, d)
		if key < 0 {
			return fmt.Errorf("%q is no DTMF digit", d)
		}
		for i := range digitFrames {
			events = append(events, event{
				key: key, first: i == 0, end: i == digitFrames-1,
				duration: uint16((i + 1) * frameSamples),
			})
		}
		for range gapFrames {
			events = append(events, event{key: -1})
		}
	}
	if len(events) == 0 {
		return nil
	}
	// The last digit may end the call, so its gap is not waited for.
	sent := make(chan struct{})
	events[len(events)-1-gapFrames].sent = sent
	m.mu.Lock()
	m.events = append(m.events, events...)
	m.mu.Unlock()
	select {
	case <-sent:
		return nil
	case <-m.done:
		m.mu.Lock()
		waits := slices.ContainsFunc(m.events, func(e event) bool { return e.sent == sent })
		m.mu.Unlock()
		if waits {
			return errors.New("the call has ended")
		}
		// The first packet of the last digit's end has ended the call.
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *media) receive() {
	buf := make([]byte, 2048)
	for {
		n, _, err := m.conn.ReadFromUDP(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 12 || buf[0]>>6 != 2 {
			continue // an ICMP error of the other side, or no RTP
		}
		head := 12 + 4*int(buf[0]&0x0f)
		if head > n || buf[0]&0x10 != 0 {
			continue // Asterisk sends no header extensions unasked
		}
		m.take(buf[1]&0x7f, binary.BigEndian.Uint32(buf[4:]), buf[head:n])
	}
}

func (m *media) take(pt uint8, stamp uint32, payload []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case pt == 0:
		now := int(time.Since(m.begin) * phoneRate / time.Second)
		if hole := now - len(payload) - len(m.heard); hole > jitterSamples {
			m.heard = append(m.heard, make([]int16, hole)...)
		}
		for _, b := range payload {
			m.heard = append(m.heard, decodeUlaw(b))
		}
	case (pt == m.eventType || pt == eventPT) && len(payload) >= 4 && int(payload[0]) < len(digitKeys):
		// All packets of a digit share their timestamp.
		if !m.anyDigit || stamp != m.lastDigit {
			m.digits = append(m.digits, digitKeys[payload[0]])
		}
		m.anyDigit, m.lastDigit = true, stamp
	}
}

// heardFrom returns a copy of what was heard after the first n samples.
func (m *media) heardFrom(n int) []int16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.heard[min(n, len(m.heard)):])
}

func (m *media) heardDigits() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.digits)
}

func (m *media) sentFrames() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ticks
}
