package lab

import (
	"net"
	"sync"
	"testing"
)

// Asterisk acts on the first packet of a digit's end, and may hang up at once.
func TestLastDigitThatEndsTheCallIsSent(t *testing.T) {
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = far.Close() }()
			m, err := newMedia("127.0.0.1", 1)
			if err != nil {
				t.Error(err)
				return
			}
			defer m.stop()
			m.use(session{addr: far.LocalAddr().(*net.UDPAddr)})
			all.Go(func() {
				buf := make([]byte, 200)
				for {
					n, err := far.Read(buf)
					if err != nil {
						return
					}
					if n == 16 && buf[13]&0x80 != 0 { // RFC 4733: the event has ended
						m.stop()
						return
					}
				}
			})
			if err := m.sendDigits(deadline(t), "3"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
