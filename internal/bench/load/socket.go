package load

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// home is where everybody but the provider is, and all media.
func home() net.IP { return net.IPv4(127, 0, 0, 1) }

// loopback is a UDP socket on that address of loopback with any port.
func loopback(ip net.IP) (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: ip})
	if err != nil {
		return nil, fmt.Errorf("open socket of the load: %w", err)
	}
	return c, nil
}

// stamped is a socket whose arrivals carry the kernel's time.
func stamped(ip net.IP) (*net.UDPConn, error) {
	c, err := loopback(ip)
	if err != nil {
		return nil, err
	}
	_ = c.SetReadBuffer(4 << 20) // as much as the kernel allows
	raw, err := c.SyscallConn()
	if err == nil {
		var opt error
		err = raw.Control(func(fd uintptr) { opt = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
		if err == nil {
			err = opt
		}
	}
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("ask for arrival times: %w", err)
	}
	return c, nil
}

// arrival finds the kernel's time in a datagram's control message, or takes
// that of now.
func arrival(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range msgs {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now()
}

// port is the port of a socket of ours.
func port(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port } //nolint:errcheck // a UDP socket has no other address
