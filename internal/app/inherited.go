package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
)

// inherited are sockets of the service manager that nobody serves yet. With
// them the daemon has ports below 1024 without a capability
// (callrecordd.socket).
type inherited []net.Listener

// listen returns the inherited socket of an address, which then is no longer
// among them, or binds the address.
func (in *inherited) listen(ctx context.Context, address string) (net.Listener, error) {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; write host:port", err)
	}
	i := slices.IndexFunc(*in, func(l net.Listener) bool {
		has, ok := l.Addr().(*net.TCPAddr)
		return ok && want.Port != 0 && has.Port == want.Port && sameHost(has.IP, want.IP)
	})
	if i >= 0 {
		l := (*in)[i]
		*in = slices.Delete(*in, i, i+1)
		return l, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w; ports below 1024 come from systemd (`systemctl enable --now callrecordd.socket`), or choose another", err)
	case err != nil:
		return nil, fmt.Errorf("%w; stop the program that uses it or choose another address", err)
	}
	return l, nil
}

// sameHost takes all ways to write "every address" for the same.
func sameHost(a, b net.IP) bool {
	every := func(ip net.IP) bool { return ip == nil || ip.IsUnspecified() }
	return every(a) && every(b) || a.Equal(b)
}
