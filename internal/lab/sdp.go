package lab

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// session is what we need of an SDP body.
type session struct {
	addr      *net.UDPAddr // where audio goes; nil if there is no stream
	eventType uint8        // payload type of telephone-event, 0 if none
	direction string       // sendrecv, sendonly, recvonly or inactive
}

// sdpText offers or answers G.711 μ-law and telephone-event.
func sdpText(ip string, port, version int, eventType uint8, direction string) []byte {
	return fmt.Appendf(nil, "v=0\r\no=- 1 %d IN IP4 %s\r\ns=lab\r\nc=IN IP4 %[2]s\r\nt=0 0\r\n"+
		"m=audio %[3]d RTP/AVP 0 %[4]d\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:%[4]d telephone-event/8000\r\n"+
		"a=fmtp:%[4]d 0-16\r\na=ptime:20\r\na=%[5]s\r\n", version, ip, port, eventType, direction)
}

func parseSDP(body []byte) (session, error) {
	s := session{direction: "sendrecv"}
	host, port := "", 0
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "c=IN IP4 "):
			host = line[len("c=IN IP4 "):]
		case strings.HasPrefix(line, "m=audio "):
			f := strings.Fields(line)
			n, err := strconv.Atoi(f[1])
			if err != nil {
				return s, fmt.Errorf("read SDP line %q: %w", line, err)
			}
			port = n
		case strings.HasPrefix(line, "a=rtpmap:"):
			pt, name, _ := strings.Cut(line[len("a=rtpmap:"):], " ")
			if n, err := strconv.ParseUint(pt, 10, 7); err == nil && strings.HasPrefix(name, "telephone-event/8000") {
				s.eventType = uint8(n)
			}
		case line == "a=sendonly" || line == "a=recvonly" || line == "a=inactive" || line == "a=sendrecv":
			s.direction = line[2:]
		}
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return s, errors.New("read SDP: no IPv4 address")
	}
	if port > 0 {
		s.addr = &net.UDPAddr{IP: ip, Port: port}
	}
	return s, nil
}

// answerTo returns the direction that answers the other party's.
func answerTo(direction string) string {
	switch direction {
	case "sendonly":
		return "recvonly"
	case "recvonly":
		return "sendonly"
	default:
		return direction
	}
}
