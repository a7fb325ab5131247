package load

import (
	"bytes"
	"strconv"
	"strings"
)

// message is a received SIP message. Only what Asterisk's PJSIP writes is
// understood: one header a line, names in full.
type message struct {
	raw    []byte
	status int    // 0 for a request
	method string // of the request, or of the response's CSeq
}

// parse reads what identifies a message; ok is false for anything else, such
// as keep-alives.
func parse(raw []byte) (m message, ok bool) {
	line, _, found := bytes.Cut(raw, []byte("\r\n"))
	if !found {
		return message{}, false
	}
	m.raw = raw
	if rest, isResponse := bytes.CutPrefix(line, []byte("SIP/2.0 ")); isResponse && len(rest) >= 3 {
		m.status, _ = strconv.Atoi(string(rest[:3])) // 0 is no response we know
		_, m.method, _ = strings.Cut(m.header("CSeq"), " ")
		return m, m.status > 0
	}
	method, _, _ := bytes.Cut(line, []byte(" "))
	m.method = string(method)
	return m, m.method != ""
}

// header returns the first header of that name, trimmed, empty without one.
func (m message) header(name string) string {
	text := string(m.raw)
	i := strings.Index(text, "\r\n"+name+": ")
	if i < 0 {
		return ""
	}
	value, _, _ := strings.Cut(text[i+len(name)+4:], "\r\n")
	return strings.TrimSpace(value)
}

// headers returns all lines of the named headers in their order, as they came.
func (m message) headers(names ...string) string {
	var b strings.Builder
	head, _, _ := strings.Cut(string(m.raw), "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		for _, n := range names {
			if strings.HasPrefix(line, n+": ") {
				b.WriteString(line + "\r\n")
			}
		}
	}
	return b.String()
}

// contact returns the URI of the Contact header.
func (m message) contact() string {
	_, rest, ok := strings.Cut(m.header("Contact"), "<")
	if !ok {
		return ""
	}
	uri, _, _ := strings.Cut(rest, ">")
	return uri
}

// target returns the user part of the request's URI.
func (m message) target() string {
	_, rest, _ := strings.Cut(string(m.raw[:min(len(m.raw), 200)]), " sip:")
	user, _, _ := strings.Cut(rest, "@")
	return user
}

// audioPort returns the port of the first audio stream in the body, 0 if there
// is none.
func (m message) audioPort() int {
	_, rest, ok := strings.Cut(string(m.raw), "\r\nm=audio ")
	if !ok {
		return 0
	}
	port, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

// reply is a response without body that repeats what RFC 3261 8.2.6 asks for.
func (m message) reply(status, toTag, more string) string {
	head := m.headers("Via", "From", "To", "Call-ID", "CSeq")
	if toTag != "" && !strings.Contains(m.header("To"), ";tag=") {
		head = strings.Replace(head, "\r\nTo: "+m.header("To"), "\r\nTo: "+m.header("To")+";tag="+toTag, 1)
	}
	return "SIP/2.0 " + status + "\r\n" + head + more
}

// noBody ends a message without body.
const noBody = "Content-Length: 0\r\n\r\n"

// withSDP ends a message that offers or answers G.711 µ-law and digits.
func withSDP(port int) string {
	body := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n" +
		"m=audio " + strconv.Itoa(port) + " RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n" +
		"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
	return "Content-Type: application/sdp\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}
