package load

import (
	"encoding/binary"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	frameTime    = 20 * time.Millisecond
	frameSamples = 160
	// slots spread the streams over the 20 ms, so that the PBX gets an even
	// flow as from many telephones and not a burst.
	slots    = 10
	slotTime = frameTime / slots

	payloadAudio = 0
	payloadEvent = 101
	// ToneHz fits a frame exactly, so every frame of the tone is the same.
	ToneHz = 800
	// A digit lasts five frames and its end, then there is a pause.
	digitFrames = 5
	digitEvery  = 10
)

// stream is the RTP of one side of one call.
type stream struct {
	conn  *net.UDPConn
	to    netip.AddrPort
	ssrc  uint32
	frame int // number of the next one
	tone  int // frames with the tone, from the first; silence after them
	audio Audio

	presses []press
	pressed func(time.Time) // told when the end of the last digit is sent
	closed  atomic.Bool
	late    atomic.Int64 // the longest that a frame of it was sent after its time
}

// Audio is what a side sends: the µ-law samples of a frame, by its number from
// the first on. Nil is silence. It is called by one goroutine at a time and
// must not wait.
type Audio func(frame int) []byte

// press is digits, of which the first begins with that frame.
type press struct {
	digits string
	at     int
}

// digit returns the digit that the frame belongs to, how far it is, and whether
// it is the last.
func (st *stream) digit(frame int) (digit byte, at int, last, ok bool) {
	for i, p := range st.presses {
		n := (frame - p.at) / digitEvery
		if at = (frame - p.at) % digitEvery; frame >= p.at && n < len(p.digits) && at <= digitFrames {
			return p.digits[n], at, n == len(p.digits)-1 && i == len(st.presses)-1, true
		}
	}
	return 0, 0, false, false
}

// sender sends the frames of all streams from one goroutine.
type sender struct {
	begun time.Time
	stop  chan struct{}
	wg    sync.WaitGroup

	mu    sync.Mutex
	added [slots][]*stream // not sent yet; who adds must not wait for packets

	// Of the goroutine alone.
	slots         [slots][]*stream
	packet        [12 + frameSamples]byte
	tone, silence [frameSamples]byte
	// late is the longest that a frame was sent after its time.
	late atomic.Int64
	// sent and behind count the slots, and those of them sent Behind after their time.
	sent, behind atomic.Int64
}

func newSender() *sender {
	s := &sender{begun: time.Now(), stop: make(chan struct{})}
	for i := range s.tone {
		s.tone[i] = ulaw(12000 * math.Sin(2*math.Pi*ToneHz*float64(i)/8000))
		s.silence[i] = 0xff
	}
	s.wg.Go(s.run)
	return s
}

func (s *sender) close() {
	close(s.stop)
	s.wg.Wait()
}

// add starts a stream with the slot that comes next.
func (s *sender) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := int((time.Since(s.begun)/slotTime + 1) % slots)
	s.added[next] = append(s.added[next], st)
}

func (s *sender) run() {
	tick := time.NewTicker(slotTime)
	defer tick.Stop()
	for n := time.Duration(0); ; {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		for ; n <= time.Since(s.begun)/slotTime; n++ {
			late := time.Since(s.begun) - n*slotTime
			if int64(late) > s.late.Load() {
				s.late.Store(int64(late))
			}
			if s.sent.Add(1); late > Behind {
				s.behind.Add(1)
			}
			s.send(int(n%slots), int64(late))
		}
	}
}

// send sends a frame of each stream of a slot and drops those that have ended.
func (s *sender) send(slot int, late int64) {
	s.mu.Lock()
	s.slots[slot] = append(s.slots[slot], s.added[slot]...)
	s.added[slot] = s.added[slot][:0]
	s.mu.Unlock()
	kept := s.slots[slot][:0]
	for _, st := range s.slots[slot] {
		if st.closed.Load() {
			continue
		}
		if late > st.late.Load() {
			st.late.Store(late)
		}
		s.next(st)
		kept = append(kept, st)
	}
	clear(s.slots[slot][len(kept):])
	s.slots[slot] = kept
}

func (s *sender) next(st *stream) {
	n := st.frame
	st.frame++
	if digit, at, last, ok := st.digit(n); ok {
		s.event(st, n, digit, at, last)
		return
	}
	payload := s.silence[:]
	if n < st.tone {
		payload = s.tone[:]
	}
	if st.audio != nil {
		if b := st.audio(n); b != nil {
			payload = b
		}
	}
	s.head(st, n, payloadAudio, n == 0, n)
	copy(s.packet[12:], payload)
	s.write(st, 12+frameSamples)
}

// event sends a part of a digit (RFC 4733): its time stays that of its begin,
// its end is sent three times.
func (s *sender) event(st *stream, n int, digit byte, at int, last bool) {
	s.head(st, n, payloadEvent, at == 0, n-at)
	code, end, times := eventCode(digit), byte(0), 1
	if at == digitFrames {
		end, times = 0x80, 3
		if last && st.pressed != nil {
			st.pressed(time.Now())
		}
	}
	s.packet[12], s.packet[13] = code, end|10
	binary.BigEndian.PutUint16(s.packet[14:], uint16(min(at+1, digitFrames)*frameSamples))
	for range times {
		s.write(st, 16)
	}
}

func (s *sender) head(st *stream, n int, payload byte, marker bool, at int) {
	s.packet[0], s.packet[1] = 0x80, payload
	if marker {
		s.packet[1] |= 0x80
	}
	binary.BigEndian.PutUint16(s.packet[2:], uint16(n))
	binary.BigEndian.PutUint32(s.packet[4:], uint32(at*frameSamples))
	binary.BigEndian.PutUint32(s.packet[8:], st.ssrc)
}

// write ignores errors: the other side may have closed its port, and a lost
// packet is lost, as on any network.
func (s *sender) write(st *stream, n int) {
	_, _ = st.conn.WriteToUDPAddrPort(s.packet[:n], st.to)
}

// eventCode is the number of a digit in RFC 4733.
func eventCode(digit byte) byte {
	switch digit {
	case '*':
		return 10
	case '#':
		return 11
	}
	return digit - '0'
}

// ulaw encodes a sample (ITU-T G.711).
func ulaw(v float64) byte {
	x, sign := int(v), 0
	if x < 0 {
		x, sign = -x, 0x80
	}
	x = min(x, 32635) + 132
	exponent := 7
	for mask := 0x4000; exponent > 0 && x&mask == 0; mask >>= 1 {
		exponent--
	}
	return ^byte(sign | exponent<<4 | x>>(exponent+3)&0x0f)
}
