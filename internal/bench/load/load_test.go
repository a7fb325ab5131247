package load

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// message of Asterisk as it came, shortened.
const ringing = "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 127.0.0.1:4000;branch=z9hG4bK1-0\r\nCall-ID: out-1-0\r\n" +
	"From: <sip:caller00@127.0.0.1>;tag=1-0\r\nTo: <sip:800000000@127.0.0.1>;tag=abc\r\nCSeq: 1 INVITE\r\n" +
	"Contact: <sip:127.0.0.1:12000>\r\nContent-Length: 0\r\n\r\n"

func TestParse(t *testing.T) {
	m, ok := parse([]byte(ringing))
	if !ok || m.status != 180 || m.method != "INVITE" || m.header("Call-ID") != "out-1-0" || m.contact() != "sip:127.0.0.1:12000" {
		t.Errorf("parsed %+v", m)
	}
	invite := "INVITE sip:callee03@127.0.0.1:4001 SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\nFrom: <sip:x@y>;tag=1\r\n" +
		"To: <sip:callee03@127.0.0.1>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n" + withSDP(4567)
	m, ok = parse([]byte(invite))
	if !ok || m.status != 0 || m.method != "INVITE" || m.target() != "callee03" || m.audioPort() != 4567 {
		t.Errorf("parsed %+v", m)
	}
	want := "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\nFrom: <sip:x@y>;tag=1\r\n" +
		"To: <sip:callee03@127.0.0.1>;tag=me\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n"
	if got := m.reply("200 OK", "me", noBody); got != want {
		t.Errorf("reply is %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(ringing))
	f.Add([]byte("INVITE sip:a SIP/2.0\r\nTo: x\r\n" + withSDP(1)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, ok := parse(raw)
		if !ok {
			return
		}
		if m.method == "" && m.status == 0 {
			t.Errorf("%q is accepted, but is neither request nor response", raw)
		}
		m.contact()
		m.target()
		if p := m.audioPort(); p < 0 {
			t.Errorf("port %d in %q", p, raw)
		}
		m.reply("200 OK", "tag", noBody)
	})
}

// TestULaw compares with the decoder of G.711: what comes back is near.
func TestULaw(t *testing.T) {
	for v := -32000; v <= 32000; v += 7 {
		u := ^ulaw(float64(v))
		back := ((int(u&0x0f)<<3 + 132) << (u >> 4 & 7)) - 132
		if u&0x80 != 0 {
			back = -back
		}
		if diff := v - back; diff > 1024 || diff < -1024 || (v > 200 && back <= 0) || (v < -200 && back >= 0) {
			t.Fatalf("%d becomes %d", v, back)
		}
	}
}

// sockets are two that end with the test.
func sockets(t testing.TB) (in, out *net.UDPConn) {
	t.Helper()
	for _, c := range []**net.UDPConn{&in, &out} {
		var err error
		if *c, err = loopback(home()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _, _ = in.Close(), out.Close() })
	return in, out
}

// TestStream looks at what a stream sends: the tone from the first packet on,
// in time, and digits that RFC 4733 allows.
func TestStream(t *testing.T) {
	in, out := sockets(t)
	s := newSender()
	defer s.close()
	pressed := make(chan time.Time, 1)
	s.add(&stream{
		conn: out, to: netip.MustParseAddrPort(in.LocalAddr().String()), tone: 3,
		presses: []press{{"*3", 4}}, pressed: func(at time.Time) { pressed <- at },
	})
	if err := in.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var got []string
	buf := make([]byte, 2048)
	for len(got) < 28 {
		n, err := in.Read(buf)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		switch p := buf[:n]; {
		case p[1]&0x7f == payloadEvent && p[13]&0x80 != 0:
			got = append(got, string("0123456789*#"[p[12]])+"!")
		case p[1]&0x7f == payloadEvent:
			got = append(got, string("0123456789*#"[p[12]]))
		case p[12] == 0xff && p[171] == 0xff:
			got = append(got, "silence")
		default:
			got = append(got, "tone")
		}
	}
	want := []string{
		"tone", "tone", "tone", "silence",
		"*", "*", "*", "*", "*", "*!", "*!", "*!", "silence", "silence", "silence", "silence",
		"3", "3", "3", "3", "3", "3!", "3!", "3!", "silence", "silence", "silence", "silence",
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("packet %d is %q, want %q; all: %v", i, got[i], want[i], got)
		}
	}
	select {
	case <-pressed:
	default:
		t.Error("the end of the digits was not told")
	}
}

// BenchmarkFrame is what the load pays for a frame of a stream: the kernel's
// loopback most of all.
func BenchmarkFrame(b *testing.B) {
	in, out := sockets(b)
	_ = in.SetReadBuffer(4096)
	s := &sender{}
	st := &stream{conn: out, to: netip.MustParseAddrPort(in.LocalAddr().String())}
	b.ReportAllocs()
	for b.Loop() {
		s.next(st)
	}
}
