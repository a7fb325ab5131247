package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// origin is how the client sees us: what links that we hand out begin with.
type origin struct {
	scheme, host string
	// prefix is what stands before the version, such as /api/call-logd.
	prefix string
	// client is the address of who asks.
	client string
}

// path is the address of ours on the same host, e.g. for Location.
func (o origin) path(p string) string { return o.prefix + p }

// url is the whole address.
func (o origin) url(p string) string { return o.scheme + "://" + o.host + o.path(p) }

var (
	hostForm   = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	scriptForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+){1,8}$`)
)

// originOf reads the headers of proxies, but only of those that are
// configured: from anybody else they are lies (cdr-api 1.1, 1.2). What does not
// look like a host or a path is left out, so that nothing else enters a link.
func (s *Server) originOf(r *http.Request, published string) origin {
	o := origin{scheme: "http", host: "localhost", prefix: published, client: hostOf(r.RemoteAddr)}
	if r.TLS != nil {
		o.scheme = "https"
	}
	if validHost(r.Host) {
		o.host = r.Host
	}
	if !s.trusted(o.client) {
		return o
	}
	if proto := lastOf(r.Header, "X-Forwarded-Proto"); proto == "http" || proto == "https" {
		o.scheme = proto
	}
	if host := lastOf(r.Header, "X-Forwarded-Host"); validHost(host) {
		o.host = host
	}
	if script := strings.TrimRight(r.Header.Get("X-Script-Name"), "/"); len(script) <= 256 && scriptForm.MatchString(script) &&
		!strings.Contains(script, "/.") {
		o.prefix = script + published
	}
	// The last address that is no proxy of ours; those before it are hearsay.
	hops := hopsOf(r.Header)
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(hop)
		if err != nil {
			break
		}
		o.client = addr.Unmap().String()
		if !s.trusted(o.client) {
			break
		}
	}
	return o
}

// validHost says whether links can be made with it: brackets must hold an
// address.
func validHost(host string) bool {
	if !hostForm.MatchString(host) {
		return false
	}
	_, err := url.Parse("http://" + host)
	return err == nil
}

func (s *Server) trusted(client string) bool {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return false
	}
	for _, p := range s.proxies {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

func hostOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	host, _, _ = strings.Cut(host, "%") // the zone of a link-local address
	return host
}

// maxHops bounds how many proxies are believed to stand in a row.
const maxHops = 32

func hopsOf(h http.Header) []string {
	var out []string
	for _, line := range h.Values("X-Forwarded-For") {
		for hop := range strings.SplitSeq(line, ",") {
			out = append(out, strings.TrimSpace(hop))
		}
	}
	return out[max(0, len(out)-maxHops):]
}

// lastOf is what the nearest proxy has written.
func lastOf(h http.Header, name string) string {
	values := h.Values(name)
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	return strings.TrimSpace(last[strings.LastIndex(last, ",")+1:])
}
