package lab

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// Ports are handed out in slots, below the range from which the system takes
// ports for outgoing connections. A slot is locked, so that two processes cannot
// take the same one between the look and the use; RTP ports are bound by
// Asterisk during calls only, no probe could see them taken. The lock is an
// abstract unix socket: like ports it belongs to the network namespace, whoever
// the user is, and it ends with its process.
const (
	firstPort = 12000
	slotSize  = 400
	slots     = 51
	rtpOffset = 10
)

// portSlot is a range of loopback ports that belongs to one PBX.
type portSlot struct {
	base int
	lock net.Listener
}

func (s portSlot) sip() int        { return s.base }
func (s portSlot) http() int       { return s.base + 1 }
func (s portSlot) ami() int        { return s.base + 2 }
func (s portSlot) trunk(i int) int { return s.base + 3 + i }
func (s portSlot) rtpStart() int   { return s.base + rtpOffset }
func (s portSlot) rtpEnd() int     { return s.base + slotSize - 1 }

// release gives the slot back. The process's end does the same.
func (s portSlot) release() { _ = s.lock.Close() }

// takePorts returns a slot nobody else has.
func takePorts() (portSlot, error) {
	for i := range slots {
		s := portSlot{base: firstPort + i*slotSize}
		lock, err := net.Listen("unix", "@callrecordd-lab-"+strconv.Itoa(s.base))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return portSlot{}, fmt.Errorf("lock ports from %d: %w", s.base, err)
		}
		s.lock = lock
		if s.free() {
			return s, nil
		}
		s.release()
	}
	return portSlot{}, errors.New("all port ranges for private PBXs are taken")
}

// free finds ports taken by others than labs.
func (s portSlot) free() bool {
	addr := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	for _, port := range []int{s.http(), s.ami()} {
		l, err := net.Listen("tcp", addr(port))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	for _, port := range []int{s.sip(), s.rtpStart(), s.rtpStart() + 1} {
		c, err := net.ListenPacket("udp", addr(port))
		if err != nil {
			return false
		}
		_ = c.Close()
	}
	return true
}
