package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// ErrAddress is an address that no webhook may reach.
var ErrAddress = errors.New("refused address")

// never are networks that belong to no server: unspecified, link-local with most
// metadata services of clouds, multicast, reserved, Teredo.
func never() []netip.Prefix {
	return prefixes("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "2001::/32", "fe80::/10", "fec0::/10", "ff00::/8")
}

// metadata are those of clouds' metadata services elsewhere.
func metadata() []netip.Prefix {
	return prefixes("fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32")
}

// inner are those of this machine and of networks of one's own, also behind a
// NAT64 of one's own (RFC 8215), which may be allowed.
func inner() []netip.Prefix {
	return prefixes("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15",
		"::1/128", "64:ff9b:1::/48", "fc00::/7")
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, t := range texts {
		out[i] = netip.MustParsePrefix(t)
	}
	return out
}

// checkAddress says whether a webhook may connect to it. What an IPv6 address
// carries an IPv4 address in is judged by that.
func checkAddress(addr netip.Addr, allowInner bool) error {
	addr = addr.WithZone("").Unmap()
	switch {
	case in(addr, inner()) && !in(addr, metadata()):
		if allowInner {
			return nil
		}
		return fmt.Errorf("%w: %s is of this machine or a private network; webhooks.allow_private would allow it", ErrAddress, addr)
	case in(addr, never()), in(addr, metadata()):
		return fmt.Errorf("%w: %s is no server that a webhook may reach", ErrAddress, addr)
	}
	if inside, ok := embedded(addr); ok {
		return checkAddress(inside, allowInner)
	}
	return nil
}

func in(addr netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// embedded is the IPv4 address in one of NAT64, SIIT (RFC 7915) or 6to4.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr), netip.MustParsePrefix("::ffff:0:0:0/96").Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case netip.MustParsePrefix("2002::/16").Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// CheckURL says what is wrong with an address to send to, as far as that can be
// seen without asking for its name.
func CheckURL(text string, allowInner bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("is no address; write https://host/path")
	case u.User != nil:
		return errors.New("contains a user or password, which would be kept in the clear; use the signature")
	case strings.Contains(text, "{{"), strings.Contains(text, "{%"):
		return errors.New("contains a template, which is not supported; the event is in the body")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return checkAddress(addr, allowInner)
	}
	return nil
}

// newClient returns a client that connects to nothing it must not, whatever a
// name resolves to: the address is checked when the connection is made. It
// follows no redirect and knows no proxy.
func newClient(timeout time.Duration, allowInner, verify bool) *http.Client {
	dialer := &net.Dialer{Timeout: timeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %s", ErrAddress, address)
		}
		return checkAddress(to.Addr(), allowInner)
	}}
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, MaxIdleConns: 32,
			IdleConnTimeout: time.Minute, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
			MaxResponseHeaderBytes: 16 << 10,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: !verify},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
